"""Appraisal: docs/protocol.md 8."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.protocol.appraisal import (
    Appraisal,
    Outcome,
    appraise_gpu,
    appraise_host,
    appraise_platform,
    appraise_weights,
)
from swt3_agent.protocol.baseline import Accepted
from swt3_agent.protocol.evidence import Evidence, Lack, Reason, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash
from swt3_agent.protocol.reference import Reference

GPU: dict[str, Any] = {
    "uuid": "GPU-1",
    "name": "NVIDIA H100 80GB HBM3",
    "memory_bytes": 81559 * 2**20,
    "pci": "0000:18:00.0",
    "serial": "1650923",
    "links": {"present": 18, "up": 18},
    "problems": [],
}
GPUS: dict[str, Any] = {
    "count": 2,
    "pci_count": 2,
    "driver": "580.65.06",
    "cuda": "13.0",
    "topology": "switched",
    "topology_code": 1,
    "interconnect": "nvswitch",
    "gpus": [GPU, GPU | {"uuid": "GPU-2", "pci": "0000:2a:00.0"}],
    "problems": [],
    "warnings": [],
}
QUOTE: dict[str, Any] = {
    "verified": True,
    "pcrs": {"0": "AB" * 32, "10": "00" * 32},
    "pcr_count": 2,
    "reset_count": 7,
    "restart_count": 0,
    "clock_ms": 1,
    "safe": True,
    "ak_name": "000b" + "ef" * 32,
    "digest": "cd" * 32,
}
PLATFORM: dict[str, Any] = {
    "quote": QUOTE,
    "kind": "tpm",
    "manufacturer": "IFX",
    "boot_faults": [],
}
ACCEPTED = (Accepted(Reference({0: ("ab" * 32,)}), 7),)
MODEL: dict[str, Any] = {
    "name": "llama",
    "path_hash": "0123456789abcdef",
    "digest": "aa" * 32,
    "files": 3,
    "bytes": 42,
    "approved": "aa" * 32,
    "problems": [],
}
PROBLEM = {"code": "XID_79", "detail": "fell off the bus", "remedy": "replace it"}


def lacking(lack: Lack, claims: dict[str, Any] | None = None) -> Unavailable:
    return Unavailable("some", lack, "SOME_CODE", "what happened", "what to do", claims or {})


def gpu(**changes: Any) -> Appraisal:
    return appraise_gpu(Evidence("gpu", RootOfTrust.DRIVER_REPORTED, GPUS | changes))


def platform(
    root_of_trust: RootOfTrust = RootOfTrust.TPM,
    *,
    accepted: Sequence[Accepted] | Reason = ACCEPTED,
    attachments: Mapping[str, bytes] | None = None,
    **changes: Any,
) -> Appraisal:
    claims = PLATFORM | changes
    evidence = Evidence("platform", root_of_trust, claims, attachments=attachments or {})
    return appraise_platform(evidence, accepted)


def weights(**changes: Any) -> Appraisal:
    claims = {"models": [MODEL | changes]}
    (appraisal,) = appraise_weights(Evidence("weights", RootOfTrust.FILE_CONTENT, claims))
    return appraisal


def codes(appraisal: Appraisal) -> list[str]:
    return [reason.code for reason in appraisal.reasons]


def test_complete_and_healthy_accelerators_pass_without_a_baseline() -> None:
    appraisal = gpu()
    assert appraisal.procedure_id == "AI-HW.1"
    assert (appraisal.outcome, appraisal.factors) == (Outcome.PASS, (2, 1, 1))
    assert codes(appraisal) == ["NO_BASELINE"]
    assert appraisal.root_of_trust is RootOfTrust.DRIVER_REPORTED
    assert appraisal.model_id == "hw-nvidia-switched"


def test_context_of_accelerators_names_hardware_only_by_hash() -> None:
    context = gpu().context
    assert context["gpus"][0] == {  # type: ignore[index]  # a list, as the test says
        "name": "NVIDIA H100 80GB HBM3",
        "memory_mb": 81559,
        "bus_id_hash": content_hash("0000:18:00.0"),
        "uuid_hash": content_hash("GPU-1"),
    }
    assert context["total_memory_mb"] == 2 * 81559
    assert (context["accelerator_count"], context["gpu_count"]) == (2, 2)
    assert (context["driver_version"], context["cuda_version"]) == ("580.65.06", "13.0")
    text = json.dumps(context)
    assert not any(raw in text for raw in ("GPU-1", "0000:18", "1650923"))


@pytest.mark.parametrize(
    ("changes", "factors", "code"),
    [
        ({"count": 1}, (1, 0, 1), "GPU_COUNT"),
        ({"count": 0}, (0, 0, 1), "GPU_COUNT"),
        ({"pci_count": 1}, (2, 0, 1), "GPU_COUNT"),
        ({"problems": [PROBLEM]}, (2, 0, 1), "XID_79"),
        ({"gpus": [GPU | {"problems": [PROBLEM]}]}, (2, 0, 1), "XID_79"),
        ({"problems": ["a finding without form"]}, (2, 0, 1), "UNSPECIFIED"),
        ({"problems": {"code": "ODD"}}, (2, 0, 1), "ODD"),
        ({"count": "2"}, (0, 0, 1), "GPU_COUNT"),
        ({"count": True, "pci_count": True}, (0, 0, 1), "GPU_COUNT"),
        ({"topology_code": 9, "count": 1}, (1, 0, 3), "GPU_COUNT"),
    ],
)
def test_incomplete_or_sick_accelerators_fail(
    changes: dict[str, Any], factors: tuple[int, int, int], code: str
) -> None:
    appraisal = gpu(**changes)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, factors)
    assert code in codes(appraisal)


def test_a_finding_listed_for_the_node_and_its_gpu_counts_once() -> None:
    assert codes(gpu(problems=[PROBLEM], gpus=[GPU | {"problems": [PROBLEM]}])) == [
        "XID_79",
        "NO_BASELINE",
    ]


def test_warnings_do_not_fail_a_node() -> None:
    assert gpu(warnings=[PROBLEM]).outcome is Outcome.PASS


def test_a_node_without_accelerators_is_not_minted() -> None:
    for appraisal in (
        appraise_gpu(lacking(Lack.ABSENT)),
        appraise_gpu(lacking(Lack.ABSENT, {"pci_count": 0})),
        gpu(count=0, pci_count=0, gpus=[]),
    ):
        assert (appraisal.outcome, appraisal.factors) == (Outcome.ABSENT, None)
        assert appraisal.reasons


@pytest.mark.parametrize("lack", [Lack.DENIED, Lack.BUSY, Lack.FAILED])
@pytest.mark.parametrize("on_bus", [0, 8])
def test_accelerators_that_cannot_be_read_fail_with_the_count_of_the_bus(
    lack: Lack, on_bus: int
) -> None:
    appraisal = appraise_gpu(lacking(lack, {"pci_count": on_bus}))
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (on_bus, 0, 3))
    assert codes(appraisal) == ["SOME_CODE"]
    assert appraisal.root_of_trust is RootOfTrust.SELF_REPORTED


def test_an_absent_driver_for_accelerators_on_the_bus_fails() -> None:
    appraisal = appraise_gpu(lacking(Lack.ABSENT, {"pci_count": 8}))
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (8, 0, 3))


def test_another_count_than_the_expected_one_fails_even_where_none_is_left() -> None:
    evidence = Evidence("gpu", RootOfTrust.DRIVER_REPORTED, GPUS)
    assert appraise_gpu(evidence, expected=2).outcome is Outcome.PASS
    for expected in (0, 1, 8):
        appraisal = appraise_gpu(evidence, expected=expected)
        assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (2, 0, 1))
        assert "GPU_EXPECTED" in codes(appraisal)
    gone = appraise_gpu(lacking(Lack.ABSENT, {"pci_count": 0}), expected=8)
    assert (gone.outcome, gone.factors) == (Outcome.FAIL, (0, 0, 3))
    assert appraise_gpu(lacking(Lack.ABSENT), expected=0).outcome is Outcome.ABSENT


def test_a_verified_quote_that_is_held_against_nothing_is_no_pass_and_not_minted() -> None:
    appraisal = platform(accepted=())
    assert appraisal.procedure_id == "AI-HW.3"
    assert (appraisal.outcome, appraisal.factors) == (Outcome.NOT_COMPARED, None)
    assert codes(appraisal) == ["NO_REFERENCE"]
    assert "baseline accept" in appraisal.reasons[0].remedy
    assert appraisal.root_of_trust is RootOfTrust.TPM


def test_a_state_that_is_the_accepted_one_passes_and_names_the_baseline() -> None:
    appraisal = platform()
    assert (appraisal.outcome, appraisal.factors) == (Outcome.PASS, (2, 1, 0))
    assert (appraisal.reasons, appraisal.baseline) == ((), 7)
    assert appraisal.root_of_trust is RootOfTrust.TPM
    assert appraisal.model_id == "tpm-attestation"


def test_what_a_baseline_does_not_judge_is_said_with_the_verdict() -> None:
    appraisal = platform(quote=QUOTE | {"pcrs": {**QUOTE["pcrs"], "4": "00" * 32}})
    assert appraisal.outcome is Outcome.PASS
    assert codes(appraisal) == ["REFERENCE_PARTIAL"]
    assert "PCR 4" in appraisal.reasons[0].detail


def measured(
    values: dict[str, list[str]], events: dict[str, Any] | None = None
) -> dict[str, bytes]:
    return {"measured-boot": json.dumps({"values": values, "events": events or {}}).encode()}


def test_a_value_of_the_boot_log_that_changed_fails_by_name() -> None:
    accepted = (Accepted(Reference(values={"command-line": ("ro quiet",)}), 7),)
    held = measured({"command-line": ["ro quiet"], "boot-commands": ["linux"]})
    assert platform(accepted=accepted, attachments=held).outcome is Outcome.PASS
    appraisal = platform(accepted=accepted, attachments=measured({"command-line": ["rw"]}))
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (2, 0, 0))
    assert codes(appraisal)[0] == "VALUE_MISMATCH"
    assert "command-line changed: rw is not the accepted ro quiet" in appraisal.reasons[0].detail


@pytest.mark.parametrize(
    ("attachments", "code"),
    [
        ({}, "BOOT_LOG_MISSING"),
        (measured({}), "VALUE_MISSING"),
        ({"measured-boot": b"{"}, "MEASURED_BOOT"),
        ({"measured-boot": b'{"values": 1}'}, "MEASURED_BOOT"),
    ],
)
def test_a_required_value_that_cannot_be_read_fails(
    attachments: dict[str, bytes], code: str
) -> None:
    accepted = (Accepted(Reference(values={"command-line": ("ro quiet",)}), 7),)
    appraisal = platform(accepted=accepted, attachments=attachments)
    assert (appraisal.outcome, codes(appraisal)[0]) == (Outcome.FAIL, code)


def test_a_register_is_named_with_what_changed_in_it() -> None:
    before, now = sha256(b"before").hexdigest(), sha256(b"now").hexdigest()
    reference = Reference({0: ("cd" * 32,)}, events={0: (("initrd /boot/initrd.img", before),)})
    held = measured({}, {"0": [["initrd /boot/initrd.img", now]]})
    appraisal = platform(accepted=(Accepted(reference, 7),), attachments=held)
    assert appraisal.outcome is Outcome.FAIL
    assert appraisal.reasons[0].detail.startswith("PCR 0 changed: initrd /boot/initrd.img")


def test_each_of_two_accepted_states_passes_and_no_mixture_of_them() -> None:
    before = Accepted(Reference({0: ("ab" * 32,), 1: ("01" * 32,)}), 7)
    after = Accepted(Reference({0: ("cd" * 32,), 1: ("02" * 32,)}), 9, expires_ms=1)

    def judged(*values: str) -> Appraisal:
        pcrs = {str(index): value * 32 for index, value in enumerate(values)}
        return platform(quote=QUOTE | {"pcrs": pcrs}, accepted=(before, after))

    assert (judged("ab", "01").outcome, judged("ab", "01").baseline) == (Outcome.PASS, 7)
    assert (judged("cd", "02").outcome, judged("cd", "02").baseline) == (Outcome.PASS, 9)
    assert codes(judged("ab", "01")) == codes(judged("cd", "02")) == ["BASELINE_STAGED"]
    mixed = judged("ab", "02")
    assert (mixed.outcome, mixed.baseline) == (Outcome.FAIL, 7)
    assert codes(mixed) == ["PCR_MISMATCH", "BASELINE_STAGED"]


def test_a_baseline_that_cannot_be_read_is_no_reason_to_pass() -> None:
    appraisal = platform(accepted=Reason("BASELINE_MALFORMED", "record 7 is no baseline"))
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (2, 0, 0))
    assert codes(appraisal) == ["BASELINE_MALFORMED"]


def test_neither_the_own_register_nor_that_of_ima_is_ever_compared() -> None:
    pcrs = {"0": "ab" * 32, "10": "12" * 32, "13": "34" * 32}
    appraisal = platform(quote=QUOTE | {"pcrs": pcrs}, log_pcr=13)
    assert (appraisal.outcome, codes(appraisal)) == (Outcome.PASS, [])


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        ({"ima_log": {"problems": [PROBLEM]}}, ["XID_79"]),
        ({"ima_log": {"problems": "nonsense"}}, ["UNSPECIFIED"]),
        ({"boot_log": {"differing": [4, 9]}}, ["BOOT_LOG_UNEXPLAINED"]),
        ({"boot_log": {"differing": 4}}, ["BOOT_LOG_UNEXPLAINED"]),
        ({"boot_log": {"differing": []}, "ima_log": {"problems": []}}, []),
        ({"boot_log": None, "ima_log": "none"}, []),
    ],
)
def test_logs_that_contradict_the_registers_are_said_beside_every_outcome(
    logs: dict[str, Any], said: list[str]
) -> None:
    passed = platform(**logs, accepted=ACCEPTED)
    assert (passed.outcome, codes(passed)) == (Outcome.PASS, said)
    other = (Accepted(Reference({0: ("cd" * 32,)}), 7),)
    failed = platform(**logs, accepted=other)
    assert (failed.outcome, codes(failed)) == (Outcome.FAIL, ["PCR_MISMATCH", *said])
    unjudged = platform(**logs, accepted=())
    assert (unjudged.outcome, codes(unjudged)) == (Outcome.NOT_COMPARED, ["NO_REFERENCE", *said])


def test_context_of_a_quote_hashes_lowercase_digests() -> None:
    context = platform().context
    assert context["pcrs"] == [
        {"index": 0, "bank": "sha256", "digest_hash": content_hash("ab" * 32)},
        {"index": 10, "bank": "sha256", "digest_hash": "60e05bd1b195af2f"},
    ]
    assert context["all_non_zero"] is False
    assert context["quote_digest"] == "cd" * 32
    assert context["ak_name_hash"] == content_hash(QUOTE["ak_name"])
    assert context["manufacturer_hash"] == content_hash("IFX")
    assert (context["clock_safe"], context["reset_count"]) == (True, 7)
    assert context["provider"] == "tpm-2.0"


@pytest.mark.parametrize(
    ("root_of_trust", "kind"),
    [
        (RootOfTrust.SOFTWARE_TPM, "software-tpm"),
        (RootOfTrust.TPM, "software-tpm"),
        (RootOfTrust.SOFTWARE_TPM, "tpm"),
        (RootOfTrust.TPM, "something else"),
    ],
)
def test_a_software_tpm_is_never_called_hardware(root_of_trust: RootOfTrust, kind: str) -> None:
    appraisal = platform(root_of_trust, kind=kind)
    assert appraisal.factors == (2, 1, 3)
    assert appraisal.root_of_trust is RootOfTrust.SOFTWARE_TPM


@pytest.mark.parametrize(
    ("changes", "factors", "code"),
    [
        ({"quote": QUOTE | {"verified": False}}, (0, 0, 0), "QUOTE_INVALID"),
        ({"quote": QUOTE | {"verified": "yes"}}, (0, 0, 0), "QUOTE_INVALID"),
        ({"quote": None}, (0, 0, 0), "QUOTE_INVALID"),
        ({"quote": QUOTE | {"pcr_count": 0}}, (0, 0, 0), "QUOTE_EMPTY"),
        ({"boot_faults": [PROBLEM]}, (2, 0, 0), "XID_79"),
        ({"boot_faults": ["reset"]}, (2, 0, 0), "UNSPECIFIED"),
    ],
)
def test_a_quote_that_does_not_hold_fails_with_and_without_a_baseline(
    changes: dict[str, Any], factors: tuple[int, int, int], code: str
) -> None:
    for accepted in (ACCEPTED, ()):
        appraisal = platform(**changes, accepted=accepted)
        assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, factors)
        assert codes(appraisal) == [code]


@pytest.mark.parametrize("lack", list(Lack))
def test_a_node_without_a_usable_tpm_fails(lack: Lack) -> None:
    appraisal = appraise_platform(lacking(lack))
    assert appraisal.procedure_id == "AI-HW.3"
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (0, 0, 0))
    assert codes(appraisal) == ["SOME_CODE"]


def test_approved_weights_pass() -> None:
    appraisal = weights()
    assert appraisal.procedure_id == "AI-MDL.1"
    assert (appraisal.outcome, appraisal.factors) == (Outcome.PASS, (1, 1, 0))
    assert appraisal.reasons == ()
    assert (appraisal.model_id, appraisal.subject) == ("llama", "llama")
    assert appraisal.context == {
        "provider": "weights",
        "file_hash": "aa" * 32,
        "expected_hash": "aa" * 32,
        "file_path_hash": "0123456789abcdef",
        "file_count": 3,
        "file_size_bytes": 42,
    }


def test_digests_are_compared_whatever_their_case() -> None:
    assert weights(approved="AA" * 32).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"digest": "bb" * 32}, "WEIGHTS_DIFFER"),
        ({"digest": None}, "WEIGHTS_DIFFER"),
        ({"digest": None, "problems": [PROBLEM]}, "XID_79"),
        ({"problems": [PROBLEM]}, "XID_79"),
    ],
)
def test_weights_that_are_not_the_approved_ones_fail(changes: dict[str, Any], code: str) -> None:
    appraisal = weights(**changes)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.FAIL, (1, 0, 0))
    assert codes(appraisal) == [code]


def test_weights_without_an_approved_digest_are_not_compared() -> None:
    appraisal = weights(approved=None)
    assert (appraisal.outcome, appraisal.factors) == (Outcome.NOT_COMPARED, None)
    assert codes(appraisal) == ["NO_APPROVED_DIGEST"]


def test_each_model_has_its_own_outcome() -> None:
    claims = {"models": [MODEL, MODEL | {"name": "other", "approved": None}]}
    appraisals = appraise_weights(Evidence("weights", RootOfTrust.FILE_CONTENT, claims))
    assert [(a.subject, a.outcome) for a in appraisals] == [
        ("llama", Outcome.PASS),
        ("other", Outcome.NOT_COMPARED),
    ]


def test_weights_that_could_not_be_read_at_all() -> None:
    (absent,) = appraise_weights(lacking(Lack.ABSENT))
    assert (absent.outcome, codes(absent)) == (Outcome.ABSENT, ["SOME_CODE"])
    (denied,) = appraise_weights(lacking(Lack.DENIED))
    assert (denied.outcome, denied.factors) == (Outcome.NOT_COMPARED, None)
    (known,) = appraise_weights(lacking(Lack.DENIED, {"models": [MODEL]}))
    assert (known.outcome, codes(known)) == (Outcome.FAIL, ["SOME_CODE"])


def test_host_facts_are_recorded_and_judged_by_nothing() -> None:
    present = appraise_host(Evidence("host", RootOfTrust.SELF_REPORTED, {"kernel": "6.8"}))
    assert (present.outcome, present.procedure_id) == (Outcome.RECORDED, None)
    missing = appraise_host(lacking(Lack.FAILED))
    assert (missing.outcome, codes(missing)) == (Outcome.RECORDED, ["SOME_CODE"])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.data())
def test_claims_of_any_shape_never_pass_by_accident_and_never_crash(data: st.DataObject) -> None:
    def shuffled(claims: dict[str, Any], key: str) -> dict[str, Any]:
        return claims | {key: data.draw(anything)}

    gpus = gpu(**shuffled({}, data.draw(st.sampled_from(sorted(GPUS)))))
    assert gpus.factors is None or gpus.factors[1] == 0 or gpus.outcome is Outcome.PASS
    assert platform(quote=data.draw(anything)).outcome is Outcome.FAIL
    assert weights(digest=data.draw(anything)).outcome is Outcome.FAIL
    for reading in (
        Evidence("some", RootOfTrust.SELF_REPORTED, {"models": data.draw(anything)}),
        Evidence(
            "some", RootOfTrust.SELF_REPORTED, data.draw(st.dictionaries(st.text(), anything))
        ),
    ):
        assert all(a.outcome is not Outcome.PASS for a in appraise_weights(reading))
        assert appraise_platform(reading).outcome is Outcome.FAIL
        assert appraise_gpu(reading).outcome is not Outcome.PASS
