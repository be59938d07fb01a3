"""What readings say over time: which subjects there were, in which state, since when.

A subject is one thing that a collector sees again and again: a model, a GPU, the TPM, the host. Its
state is the few claims whose change somebody wants to know of. Readings with the same state make
one period. A reading that did not come says nothing: what was there before is taken to be there
still, and the gap is told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from swt3_agent.protocol.claims import Claims, entries_claim, reasons_claim, text_claim

State = Mapping[str, object]
States = Mapping[str, State]
"""State by subject."""

MOST_GAPS = 100


@dataclass(slots=True)
class Period:
    """A subject in one state, seen from ``first_ms`` to ``last_ms`` (UTC) in ``readings`` readings.

    ``state`` None: it was not there. ``until_ms`` is when another state was first seen, None as
    long as there is none. ``begins`` False: it was so in the first reading that was looked at, and
    may have been before.
    """

    state: State | None
    first_ms: int
    first_record: int
    last_ms: int
    last_record: int
    readings: int = 1
    until_ms: int | None = None
    begins: bool = True


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings that are not there: ``code`` says why. The first and the last of a run."""

    code: str
    first_ms: int
    first_record: int
    last_ms: int
    last_record: int


@dataclass(slots=True)
class Timeline:
    """The periods of all subjects of one kind, from readings in the order of the log.

    ``cut``: there are older readings, of which nothing is known here.
    """

    kind: str
    cut: bool = False
    periods: dict[str, list[Period]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    _in_gap: bool = False

    def see(self, states: States, utc_ms: int, record: int) -> None:
        """A reading. A subject that is not in it is not there."""
        self._in_gap = False
        for subject in [*states, *(known for known in self.periods if known not in states)]:
            self.see_one(subject, states.get(subject), utc_ms, record)
        self.cut = False  # who comes later was not there in this one

    def see_one(self, subject: str, state: State | None, utc_ms: int, record: int) -> None:
        """What was seen of one subject; nothing is said of the others."""
        periods = self.periods.setdefault(subject, [])
        if periods and periods[-1].state == state:
            last = periods[-1]
            last.last_ms, last.last_record = utc_ms, record
            last.readings += 1
            return
        if periods:
            periods[-1].until_ms = utc_ms
        begins = bool(periods) or not self.cut
        periods.append(Period(state, utc_ms, record, utc_ms, record, begins=begins))

    def miss(self, code: str, utc_ms: int, record: int) -> None:
        """A reading that did not come, or whose evidence is gone."""
        if self._in_gap and self.gaps[-1].code == code:
            before = self.gaps.pop()
            self.gaps.append(Gap(code, before.first_ms, before.first_record, utc_ms, record))
        elif len(self.gaps) < MOST_GAPS:
            self.gaps.append(Gap(code, utc_ms, record, utc_ms, record))
        self._in_gap = bool(self.gaps) and self.gaps[-1].last_record == record


def model_states(claims: Claims) -> States:
    """Of each model: digest, whether it is the approved one, adapters, quantization, problems."""
    return {
        text_claim(model, "name"): {
            "digest": text_claim(model, "digest") or None,
            "approved": _approved(model),
            "adapters": [
                {"name": text_claim(adapter, "name"), "digest": text_claim(adapter, "digest")}
                for adapter in entries_claim(model, "adapters")
            ],
            "quantization": _quantization(model.get("quantization")),
            "problems": sorted({reason.code for reason in reasons_claim(model, "problems")}),
        }
        for model in entries_claim(claims, "models")
    }


def gpu_states(claims: Claims) -> States:
    """Of each GPU that has a UUID: slot, name, VBIOS and the driver that showed it."""
    return {
        text_claim(gpu, "uuid"): {
            "slot": text_claim(gpu, "pci"),
            "name": text_claim(gpu, "name"),
            "vbios": text_claim(gpu, "vbios"),
            "driver": text_claim(claims, "driver"),
            "problems": sorted({reason.code for reason in reasons_claim(gpu, "problems")}),
        }
        for gpu in entries_claim(claims, "gpus")
        if text_claim(gpu, "uuid")
    }


def platform_states(claims: Claims) -> States:
    """The TPM: kind, firmware, attestation key, and the boot state that its PCRs 0 to 7 hold."""
    quote = claims.get("quote")
    quote = quote if isinstance(quote, Mapping) else {}
    pcrs = quote.get("pcrs")
    boot = pcrs if isinstance(pcrs, Mapping) else {}
    values = "".join(str(boot.get(str(index), "")) for index in range(8))
    return {
        "tpm": {
            "kind": text_claim(claims, "kind"),
            "manufacturer": text_claim(claims, "manufacturer"),
            "firmware": text_claim(claims, "firmware"),
            "ak_name": text_claim(quote, "ak_name"),
            "boot_state": sha256(values.encode()).hexdigest() if values else None,
        }
    }


def host_states(claims: Claims) -> States:
    """The host: operating system and kernel."""
    kernel = claims.get("kernel")
    release = kernel.get("release") if isinstance(kernel, Mapping) else None
    return {"host": {"os": claims.get("os"), "kernel": release}}


SUBJECTS: Mapping[str, tuple[str, Callable[[Claims], States]]] = {
    "weights": ("model", model_states),
    "gpu": ("gpu", gpu_states),
    "platform": ("platform", platform_states),
    "host": ("host", host_states),
}
"""Of each collector, what its readings are of and how they are read."""


@dataclass(frozen=True, slots=True)
class Together:
    """A model and a GPU that were on the node at the same time; ``to_ms`` None: they still are.

    ``begins`` False: perhaps longer than since ``from_ms``, where the readings begin.
    """

    model: str
    digest: str
    gpu: str
    from_ms: int
    to_ms: int | None
    begins: bool


def together(models: Timeline, gpus: Timeline) -> list[Together]:
    """Which weights were on the node while which GPUs were: not which process used which GPU."""
    found = []
    for model, model_periods in models.periods.items():
        for period in model_periods:
            digest = period.state and period.state["digest"]
            if not isinstance(digest, str):
                continue
            for gpu, gpu_periods in gpus.periods.items():
                for start, end, begins in _presences(gpu_periods):
                    begin, began = max((period.first_ms, period.begins), (start, begins))
                    ends = [one for one in (period.until_ms, end) if one is not None]
                    if not ends or begin < min(ends):
                        to = min(ends) if ends else None
                        found.append(Together(model, digest, gpu, begin, to, began))
    return sorted(found, key=lambda one: (one.from_ms, one.model, one.gpu))


def _presences(periods: list[Period]) -> list[tuple[int, int | None, bool]]:
    """From when to when a subject was there, in whatever state, and whether it begins there."""
    spans: list[tuple[int, int | None, bool]] = []
    for period in periods:
        if period.state is None:
            continue
        if spans and spans[-1][1] == period.first_ms:
            start, _, begins = spans[-1]
            spans[-1] = (start, period.until_ms, begins)
        else:
            spans.append((period.first_ms, period.until_ms, period.begins))
    return spans


def _approved(model: Claims) -> bool | None:
    """None where no digest was approved, or none could be read."""
    approved, digest = text_claim(model, "approved"), text_claim(model, "digest")
    return approved.lower() == digest.lower() if approved and digest else None


def _quantization(claim: object) -> dict[str, object] | None:
    if not isinstance(claim, Mapping):
        return None
    return {key: claim.get(key) for key in ("method", "bits", "group_size")}
