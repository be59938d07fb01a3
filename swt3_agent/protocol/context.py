"""The context of minted anchors: ``ai_context`` at clearing levels 0 and 1.

Keys are those of the published SDK, so that existing readers find what they know; ours are added
beside them (docs/protocol.md 8.2, 8.3). Identifiers of hardware, hosts and files appear only as
content hashes.
"""

from collections.abc import Mapping

from swt3_agent.protocol.claims import Claims, count_claim, entries_claim, text_claim
from swt3_agent.protocol.fingerprint import content_hash

Context = dict[str, object]


def gpu_context(claims: Claims, topology: str) -> Context:
    """Context of AI-HW.1 (docs/protocol.md 8.2). Memory in MiB, as NVML's total."""
    gpus = entries_claim(claims, "gpus")
    return _present(
        {
            "provider": "nvidia",
            "silicon_vendor": "nvidia",
            "discovery_method": "nvml",
            "topology": topology,
            "interconnect": text_claim(claims, "interconnect") or "unknown",
            "total_memory_mb": sum(_memory_mb(gpu) for gpu in gpus),
            "accelerator_count": count_claim(claims, "count"),
            "gpu_count": count_claim(claims, "count"),
            "hostname_hash": text_claim(claims, "hostname_hash"),
            "driver_version": text_claim(claims, "driver"),
            "cuda_version": text_claim(claims, "cuda"),
            "gpus": [_gpu(gpu) for gpu in gpus],
        }
    )


def bus_context(claims: Claims) -> Context:
    """Context of AI-HW.1 where no driver answers: what the PCI bus shows."""
    makers = {text_claim(device, "vendor_name") for device in entries_claim(claims, "pci")}
    return {
        "provider": "pci",
        "silicon_vendor": makers.pop().lower() if len(makers) == 1 else "mixed",
        "discovery_method": "pci-sysfs",
        "topology": "unknown",
        "interconnect": "unknown",
        "accelerator_count": count_claim(claims, "pci_count"),
        "gpu_count": count_claim(claims, "pci_count"),
        "accelerators": [
            _present(
                {
                    "vendor": text_claim(device, "vendor_name"),
                    "name": text_claim(device, "device"),
                    "bus_id_hash": _hashed(text_claim(device, "address")),
                    "discovery_method": "pci-sysfs",
                }
            )
            for device in entries_claim(claims, "pci")
        ],
    }


def platform_context(claims: Claims, quote: Claims) -> Context:
    """Context of AI-HW.3 (docs/protocol.md 8.3). Digests are hashed as lowercase hex."""
    pcrs = _pcr_values(quote)
    return _present(
        {
            "provider": "tpm-2.0",
            "pcr_count": count_claim(quote, "pcr_count"),
            "all_non_zero": bool(pcrs) and all(value.strip("0") for value in pcrs.values()),
            "manufacturer_hash": _hashed(text_claim(claims, "manufacturer")),
            "firmware_hash": _hashed(text_claim(claims, "firmware")),
            "hostname_hash": text_claim(claims, "hostname_hash"),
            "pcrs": [
                {"index": index, "bank": "sha256", "digest_hash": _hashed(pcrs[index])}
                for index in sorted(pcrs)
            ],
            "quote_digest": text_claim(quote, "digest").lower(),
            "ak_name_hash": _hashed(text_claim(quote, "ak_name").lower()),
            "clock_safe": quote.get("safe") is True,
            "reset_count": count_claim(quote, "reset_count"),
        }
    )


def weights_context(model: Claims) -> Context:
    """Context of AI-MDL.1 for model files: whole digests, and the path only as its hash."""
    return _present(
        {
            "provider": "weights",
            "file_hash": text_claim(model, "digest"),
            "expected_hash": text_claim(model, "approved"),
            "file_path_hash": text_claim(model, "path_hash"),
            "file_count": count_claim(model, "files"),
            "file_size_bytes": count_claim(model, "bytes"),
        }
    )


def weight_file_context(model: Claims, file: Claims, suffix: str) -> Context:
    """Context of AI-MDL.5: one weight file."""
    return _present(
        {
            "provider": "model-weights",
            "file_hash": text_claim(file, "sha256"),
            "expected_hash": text_claim(file, "approved"),
            "file_path_hash": _hashed(text_claim(file, "path")),
            "file_size_bytes": count_claim(file, "bytes"),
            "format": suffix,
            "lifecycle_stage": text_claim(model, "stage"),
        }
    )


def adapters_context(model: Claims) -> Context:
    """Context of AI-MDL.6. A base model that is named by a path appears as its hash."""
    return {
        "provider": "adapter",
        "base_model_id": text_claim(model, "name"),
        "adapters": [_adapter(adapter) for adapter in entries_claim(model, "adapters")],
    }


def _adapter(adapter: Claims) -> Context:
    base = text_claim(adapter, "base_model")
    return _present(
        {
            "name": text_claim(adapter, "name"),
            "hash": text_claim(adapter, "digest"),
            "expected_hash": text_claim(adapter, "approved"),
            "base_model": _hashed(base) if base.startswith(("/", ".", "~")) else base,
        }
    )


def quantization_context(model: Claims, quantization: Claims) -> Context:
    """Context of AI-MDL.7."""
    numbers = {key: quantization.get(key) for key in ("bits", "group_size")}
    return _present(
        {
            "provider": "quantization",
            "method": text_claim(quantization, "method"),
            **{key: value for key, value in numbers.items() if type(value) is int},
            "calibration": text_claim(quantization, "calibration"),
            "model_name": text_claim(model, "name"),
            "model_hash": text_claim(model, "digest"),
        }
    )


def thermal_context(claims: Claims, hottest: int, limit: int, zones: int) -> Context:
    """Context of AI-ENV.1: degrees C of the hottest, and of each GPU."""
    return {
        "provider": "env-telemetry",
        "node_type": "unknown",
        "temperature_celsius": hottest,
        "threshold_celsius": limit,
        "thermal_zones": zones,
        "gpus": [_sensors(gpu, "temperature_c") for gpu in entries_claim(claims, "gpus")],
    }


def power_context(claims: Claims, watts: int, headroom: int, *, throttled: bool) -> Context:
    """Context of AI-ENV.2: watts of the GPU with the least headroom; each GPU in milliwatts."""
    gpus = entries_claim(claims, "gpus")
    return {
        "provider": "env-telemetry",
        "node_type": "unknown",
        "power_watts": watts,
        "capacity_watts": watts + headroom,
        "headroom_watts": headroom,
        "throttled": throttled,
        "power_domains": len(gpus),
        "gpus": [
            _sensors(gpu, "power_mw", "power_limit_mw", "slowed_by", "power_capped") for gpu in gpus
        ],
    }


def _sensors(gpu: Claims, *keys: str) -> Context:
    read = {key: gpu.get(key) for key in keys if isinstance(gpu.get(key), (int, list))}
    return _present({"uuid_hash": _hashed(text_claim(gpu, "uuid")), **read})


def _gpu(gpu: Claims) -> Context:
    return _present(
        {
            "name": text_claim(gpu, "name"),
            "memory_mb": _memory_mb(gpu),
            "bus_id_hash": _hashed(text_claim(gpu, "pci")),
            "uuid_hash": _hashed(text_claim(gpu, "uuid")),
        }
    )


def _memory_mb(gpu: Claims) -> int:
    return count_claim(gpu, "memory_bytes") // 2**20


def _pcr_values(quote: Claims) -> dict[int, str]:
    values = quote.get("pcrs")
    if not isinstance(values, Mapping):
        return {}
    return {
        int(index): value.lower()
        for index, value in values.items()
        if str(index).isdecimal() and isinstance(value, str)
    }


def _hashed(text: str) -> str:
    return content_hash(text) if text else ""


def _present(context: Context) -> Context:
    """Without the keys that have no value: an empty text would look like a reading."""
    return {key: value for key, value in context.items() if value != ""}
