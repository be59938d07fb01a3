"""Temperature and power (docs/protocol.md 8.7)."""

from collections.abc import Mapping

from swt3_agent.protocol.appraisal.base import Appraisal, Outcome, lack, minted
from swt3_agent.protocol.claims import Claims, count_claim, entries_claim, text_claim
from swt3_agent.protocol.context import power_context, thermal_context
from swt3_agent.protocol.evidence import (
    Evidence,
    Lack,
    Reading,
    Reason,
    RootOfTrust,
    Unavailable,
)

_COOL = "check fans, air flow and room temperature; see `nvidia-smi -q -d TEMPERATURE,PERFORMANCE`"
_POWER = "lower the load, or raise the power limit where node and rack allow it"
_SLOWED = "see `nvidia-smi -q -d PERFORMANCE,TEMPERATURE`; check cooling and power supply"
_SENSOR = "see what `nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE` says of it"


def appraise_environment(reading: Reading, max_temperature: int) -> tuple[Appraisal, ...]:
    """AI-ENV.1 and AI-ENV.2, one anchor each for the node, about its worst part.

    What was not measured is neither cool nor within limits: as long as anything is unknown nothing
    passes, and nothing is minted; a fault that is known fails all the same, where there are
    numbers to say it with.
    """
    if isinstance(reading, Unavailable):
        outcome = Outcome.ABSENT if reading.lack is Lack.ABSENT else Outcome.NOT_COMPARED
        return tuple(
            _unminted(reading.collector, procedure, outcome, (lack(reading),))
            for procedure in ("AI-ENV.1", "AI-ENV.2")
        )
    return (_appraise_temperature(reading, max_temperature), _appraise_power(reading))


def _appraise_temperature(reading: Evidence, limit: int) -> Appraisal:
    """AI-ENV.1: a = the hottest GPU, or processor where there is no GPU; b = limit; c = a <= b."""
    claims = reading.claims
    unknown = _silent_gpus(claims)
    known: list[int] = []
    for gpu in entries_claim(claims, "gpus"):
        value = gpu.get("temperature_c")
        if type(value) is int:
            known.append(value)
        else:
            unknown += (_unread(gpu, "temperature"),)
    if not known and not unknown:
        known = _processors(claims)
    hottest = max(known, default=limit)
    if hottest <= limit and (unknown or not known):
        nothing = Reason(
            "TEMPERATURE_UNKNOWN",
            "no GPU and no processor gives a temperature",
            "load the driver of the processor's sensors (coretemp, k10temp)",
        )
        reasons = unknown or (nothing,)
        return _unminted(
            reading.collector, "AI-ENV.1", Outcome.NOT_COMPARED, reasons, reading.root_of_trust
        )
    hot = Reason("TEMPERATURE_HIGH", f"{hottest} °C where {limit} are allowed", _COOL)
    return minted(
        reading.collector,
        "AI-ENV.1",
        (hottest, limit, int(hottest <= limit)),
        (hot, *unknown) if hottest > limit else (),
        root_of_trust=reading.root_of_trust,
        context=thermal_context(claims, hottest, limit, len(known)),
        model_id="env-thermal-unknown",
    )


def _appraise_power(reading: Evidence) -> Appraisal:
    """AI-ENV.2: a = watts of the GPU that is nearest to its limit, b = what is left to it there,
    c = heat or a lack of power holds some GPU's clocks down. One that is kept at its power limit
    is only loaded: b says whether anything is left."""
    claims = reading.claims
    unknown = _silent_gpus(claims)
    slowed: tuple[Reason, ...] = ()
    known: list[tuple[int, int]] = []  # headroom, draw
    for gpu in entries_claim(claims, "gpus"):
        draw, most, slowdowns = (
            gpu.get(key) for key in ("power_mw", "power_limit_mw", "slowed_by")
        )
        if type(draw) is int and type(most) is int:
            known.append((max(0, most - draw) // 1000, round(draw / 1000)))
        else:
            unknown += (_unread(gpu, "power or its limit"),)
        if not isinstance(slowdowns, (list, tuple)):
            unknown += (_unread(gpu, "reasons of slowdown"),)
        elif slowdowns:
            why = ", ".join(map(str, slowdowns))
            slowed += (Reason("GPU_SLOWED", f"GPU {_name(gpu)} is held down: {why}", _SLOWED),)
    headroom, watts = min(known, default=(1, 0))
    faults = slowed
    if headroom == 0:
        faults += (Reason("POWER_LIMIT", f"{watts} W drawn, and nothing is left", _POWER),)
    if not known or (unknown and not faults):
        nothing = Reason("POWER_UNKNOWN", "no GPU gives its power and its limit", _SENSOR)
        return _unminted(
            reading.collector,
            "AI-ENV.2",
            Outcome.NOT_COMPARED,
            (*faults, *unknown) or (nothing,),
            reading.root_of_trust,
        )
    return minted(
        reading.collector,
        "AI-ENV.2",
        (watts, headroom, int(bool(slowed))),
        (*faults, *unknown),
        root_of_trust=reading.root_of_trust,
        context=power_context(claims, watts, headroom, throttled=bool(slowed)),
        model_id="env-power-unknown",
    )


def _silent_gpus(claims: Claims) -> tuple[Reason, ...]:
    """Why GPUs that are on the bus have no sensors here."""
    lacking = claims.get("gpu_lack")
    if isinstance(lacking, Mapping):
        return (Reason(text_claim(lacking, "code"), text_claim(lacking, "detail"), _SENSOR),)
    on_bus, seen = count_claim(claims, "gpu_count"), len(entries_claim(claims, "gpus"))
    if seen >= on_bus:
        return ()
    detail = f"{on_bus - seen} of {on_bus} GPUs on the PCI bus show no sensor"
    return (Reason("GPU_COUNT", detail, "look for lost or failed devices in the kernel log"),)


def _processors(claims: Claims) -> list[int]:
    """Whole degrees of processors, from the kernel's sensors; other sensors are only recorded."""
    return [
        round(value / 1000)
        for sensor in entries_claim(claims, "sensors")
        if sensor.get("kind") == "temperature" and sensor.get("of_processor") is True
        if type(value := sensor.get("value")) is int
    ]


def _unread(gpu: Claims, what: str) -> Reason:
    return Reason("SENSOR_UNREADABLE", f"GPU {_name(gpu)} does not give its {what}", _SENSOR)


def _name(gpu: Claims) -> str:
    return text_claim(gpu, "uuid") or text_claim(gpu, "pci") or "of unknown name"


def _unminted(
    collector: str,
    procedure: str,
    outcome: Outcome,
    reasons: tuple[Reason, ...],
    root_of_trust: RootOfTrust = RootOfTrust.SELF_REPORTED,
) -> Appraisal:
    return Appraisal(collector, procedure, outcome, None, reasons, root_of_trust)
