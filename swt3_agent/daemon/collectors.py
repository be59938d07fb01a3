"""Which collectors this node has, and the rule that appraises what each of them saw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from swt3_agent.collect.adapters import AdapterSpec
from swt3_agent.collect.base import Collector
from swt3_agent.collect.environment import EnvironmentCollector
from swt3_agent.collect.gpu.collector import GpuCollector
from swt3_agent.collect.gpu.driver import NvmlDriver
from swt3_agent.collect.host import HostCollector
from swt3_agent.collect.platform import PlatformCollector
from swt3_agent.collect.quotes import QuoteSource
from swt3_agent.collect.weights import ModelSpec, WeightsCollector, expected_claims
from swt3_agent.config import Config
from swt3_agent.config.settings import ModelSettings
from swt3_agent.pipeline import Appraise, Claims
from swt3_agent.probe.client import DEFAULT_TIMEOUT_S as PROBE_TIMEOUT_S
from swt3_agent.probe.client import Probe
from swt3_agent.protocol.appraisal import (
    Appraisal,
    appraise_environment,
    appraise_gpu,
    appraise_host,
    appraise_nvlink,
    appraise_platform,
    appraise_weights,
)
from swt3_agent.protocol.baseline import Accepted
from swt3_agent.protocol.evidence import Reading, Reason

READ_WITH: Mapping[str, str] = {"nvlink": "gpu", "adapters": "weights", "quantization": "weights"}
"""What is asked for by its own name and read by a collector that reads more."""

_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A collector, and the rule by which its readings are appraised.

    ``expected`` are the claims of a reading that does not come (``Pipeline.run``).
    """

    collector: Collector
    appraise: Appraise
    expected: Claims = field(default_factory=dict)


def watched_collectors(
    config: Config,
    tpm: QuoteSource | None,
    boot_faults: Callable[[int], Sequence[Reason]] = lambda _: (),
    accepted: Callable[[], Sequence[Accepted] | Reason] = tuple,
    ima_kept: Callable[[], int] = lambda: 0,
) -> tuple[Watched, ...]:
    """Every collector of this node, in the order in which they are shown.

    ``boot_faults``: why the TPM's registers do not tell of this boot, by how often it was reset.
    ``accepted``: the reference values for the boot state that are in force. ``ima_kept``: bytes of
    this boot's IMA list that the log holds.
    """
    library = None if config.gpu.library is None else Path(config.gpu.library)
    driver = NvmlDriver(library_path=library)
    models = [model_spec(model) for model in config.models]
    every = config.intervals
    watched = [
        Watched(HostCollector(interval_s=every.host), one(appraise_host)),
        Watched(
            PlatformCollector(
                tpm,
                Probe(config.probe_socket),
                interval_s=every.platform,
                timeout_s=4 * (config.tpm.timeout + PROBE_TIMEOUT_S) + _MARGIN_S,
                boot_faults=boot_faults,
                log_pcr=config.tpm.log_pcr,
                ima_kept=ima_kept,
            ),
            one(lambda reading: appraise_platform(reading, accepted())),
        ),
        Watched(
            GpuCollector(driver, interval_s=every.gpu),
            lambda reading: (
                appraise_gpu(reading, config.gpu.expected),
                *appraise_nvlink(reading),
            ),
        ),
        Watched(
            EnvironmentCollector(driver, interval_s=every.environment),
            partial(appraise_environment, max_temperature=config.environment.max_temperature),
        ),
    ]
    if models:
        watched.append(
            Watched(
                WeightsCollector(models, interval_s=every.weights),
                appraise_weights,
                unread_models(models),
            )
        )
    return tuple(watched)


def model_spec(model: ModelSettings) -> ModelSpec:
    """A model of the configuration as its collector wants it."""
    return ModelSpec(
        model.name,
        Path(model.path),
        model.approved,
        model.stage,
        {file.path: file.sha256 for file in model.files},
        tuple(
            AdapterSpec(adapter.name, Path(adapter.path), adapter.approved)
            for adapter in model.adapters
        ),
    )


def unread_models(models: Sequence[ModelSpec]) -> Claims:
    """The claims of a WeightsCollector that read none of its models: an approved one fails."""
    return {"models": [expected_claims(model) for model in models]}


def one(appraise: Callable[[Reading], Appraisal]) -> Appraise:
    """A rule that comes to exactly one appraisal, in the form of those that come to several."""
    return lambda reading: (appraise(reading),)
