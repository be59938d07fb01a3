"""Settings that were read, put together into the Config that the agent runs by."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from swt3_agent.config.checks import check_no_free_text
from swt3_agent.config.credentials import (
    check_readable,
    check_recipient,
    check_secret_file,
    check_token_file,
)
from swt3_agent.config.dsn import API_KEY, parse_endpoint
from swt3_agent.config.environment import is_local
from swt3_agent.config.file_settings import FileSettings
from swt3_agent.config.floors import check_demands, clearing_level
from swt3_agent.config.layers import Merged
from swt3_agent.config.problems import Findings
from swt3_agent.config.profile import Profile
from swt3_agent.config.settings import Intervals
from swt3_agent.config.values import (
    Cadence,
    Config,
    Labels,
    Ledger,
    Required,
    SigningKey,
    ToolPolicy,
    is_hardware,
)
from swt3_agent.errors import ConfigError
from swt3_agent.protocol.clearing import MAX_LEVEL

_SHORT_KEY = 16  # characters of an HMAC key below which a warning is due


def assembled(
    settings: FileSettings,
    merged: Merged,
    environ: Mapping[str, str],
    source: str,
    profiles: Sequence[Profile],
    ignored: tuple[str, ...],
    findings: Findings,
) -> Config:
    """The settings in force, and to ``findings`` what is wrong with them together.

    ``profiles``: the one in force first, then others whose demands hold as well.
    """
    agent = settings.agent
    ledger = _ledger(settings, merged, environ, findings)
    level = clearing_level(settings, merged, has_ledger=ledger is not None, findings=findings)
    check_demands(settings, merged, findings)
    if level == MAX_LEVEL:
        check_no_free_text(settings, findings)
    _check_files(settings, findings)
    signing = _signing(settings, findings)
    policy = settings.mcp_policy
    environment = agent.environment
    limit = settings.hardware.runtime_profile.max_temperature_celsius
    if limit is not None and limit < environment.max_temperature:
        environment = msgspec.structs.replace(environment, max_temperature=int(limit))
    return Config(
        tenant=settings.tenant_id,
        clearing_level=level,
        agent_id=settings.agent_id,
        profile=profiles[0].name if profiles else None,
        ledger=ledger,
        signing=signing,
        labels=Labels(**{name: getattr(settings, name) for name in Labels.__slots__}),
        tools=ToolPolicy(
            allowlist=policy.tool_allowlist,
            blocklist=policy.tool_blocklist,
            max_velocity=policy.max_velocity,
            max_chain_depth=policy.max_chain_depth,
            rules=tuple(msgspec.structs.asdict(rule) for rule in policy.rules),
            max_tokens_per_session=policy.max_tokens_per_session,
            fail_secure=policy.fail_secure,
        ),
        required=Required(
            procedures=settings.policy.required_procedures,
            attestation_freshness=settings.hardware.attestation_freshness,
            cadence=_cadence(settings, profiles),
        ),
        state_dir=Path(agent.state_dir).absolute(),  # verbs find the daemon from any directory
        socket=Path(agent.socket).absolute(),
        listeners=agent.listeners,
        tpm=agent.tpm,
        intervals=_intervals(settings, merged, findings),
        gpu=agent.gpu,
        models=agent.models,
        environment=environment,
        clearing=agent.clearing,
        custody=agent.custody,
        http=agent.http,
        ops=agent.ops,
        receipts=agent.receipts,
        probe=agent.probe,
        output=agent.output,
        source=source,
        warnings=tuple(findings.warnings),
        ignored=ignored,
        lacks=tuple(findings.lacks),
    )


def _ledger(
    settings: FileSettings, merged: Merged, environ: Mapping[str, str], findings: Findings
) -> Ledger | None:
    endpoint, api_key = settings.endpoint, settings.api_key
    if is_local(environ):
        if endpoint:
            findings.warn("SWT3_MODE is local: the ledger that is configured gets nothing")
        return None
    if api_key is not None and API_KEY.fullmatch(api_key) is None:
        findings.bad_value("api_key", "is no key of a ledger (it is not shown)", "axm_…")
    if not endpoint:
        if merged.origin("api_key").startswith("credential"):
            findings.warn(
                "there is an API key among the credentials, and no endpoint to use it for"
            )
        elif api_key is not None:
            findings.bad_value(
                "endpoint",
                "is missing, and there is an API key",
                "set SWT3_ENDPOINT or SWT3_DSN, or SWT3_MODE=local to deliver nothing",
            )
        return None
    try:
        endpoint = parse_endpoint(endpoint)
    except ConfigError as error:
        findings.take(error, "endpoint")
        return None
    if settings.agent.air_gap:
        findings.bad_value(
            "agent.air_gap",
            f"is true, and {merged.origin('endpoint')} names a ledger",
            "take one of the two away: an air-gapped node delivers to nobody",
        )
        return None
    if api_key is None and not any(lack.key == "api_key_env" for lack in findings.lacks):
        findings.lack(
            "CONFIG_SECRET",
            "api_key",
            "api_key is missing, and there is an endpoint to deliver to",
            "set SWT3_API_KEY, api_key_env, or the credential ledger-key",
        )
    return Ledger(endpoint, api_key or "", settings.agent.ledger)


def _signing(settings: FileSettings, findings: Findings) -> SigningKey | None:
    key = settings.signing_key
    if key is None:
        return None
    if settings.signing_algorithm == "ml-dsa-65":
        is_seed = len(key) == 64 and set(key) <= set("0123456789abcdefABCDEF")
        findings.require(
            is_seed,
            "signing_key",
            "is no seed of ml-dsa-65 (it is not shown)",
            "give 64 hex digits: openssl rand -hex 32",
        )
    elif not key.strip():
        findings.bad_value("signing_key", "is empty", "openssl rand -hex 32")
    elif len(key) < _SHORT_KEY:
        findings.warn(f"signing_key is shorter than {_SHORT_KEY} characters: it can be guessed")
    return SigningKey(
        settings.signing_algorithm, key, settings.signing_key_id, settings.signing_key_version
    )


def _intervals(settings: FileSettings, merged: Merged, findings: Findings) -> Intervals:
    """The collectors' intervals, those of the hardware short enough to keep its word fresh."""
    intervals = settings.agent.intervals
    asked = settings.policy.required_procedures
    if not (settings.hardware.require_attestation or any(map(is_hardware, asked))):
        return intervals
    longest = settings.hardware.attestation_freshness / 2  # one run may come late, or fail
    for name in ("gpu", "platform"):
        if getattr(intervals, name) <= longest:
            continue
        if (origin := merged.origin(f"agent.intervals.{name}")) != "default":
            findings.warn(
                f"agent.intervals.{name} ({origin}) is shortened to {longest:g} s:"
                " hardware.attestation_freshness asks for it"
            )
        intervals = msgspec.structs.replace(intervals, **{name: longest})
    return intervals


def _cadence(settings: FileSettings, profiles: Sequence[Profile]) -> Cadence:
    """The shortest that profiles and file ask for; without a profile, at most the default."""
    bounds = [msgspec.structs.asdict(profile.facts.cadence) for profile in profiles]
    bounds = bounds or [dataclasses.asdict(Cadence())]
    asked = msgspec.structs.asdict(settings.agent.cadence)
    bounds.append({name: seconds for name, seconds in asked.items() if seconds is not None})
    return Cadence(**{name: min(one[name] for one in bounds if name in one) for name in asked})


def _check_files(settings: FileSettings, findings: Findings) -> None:
    """Files that the agent must be able to read: lacks, since other users only look."""
    agent = settings.agent
    if agent.http.port is not None and agent.http.token_file:
        token_file = Path(agent.http.token_file)
        check_token_file(token_file, "agent.http.token_file", findings)
    if agent.ledger.key:
        check_secret_file(Path(agent.ledger.key), "agent.ledger.key", findings)
    public = [("agent.ledger.ca", agent.ledger.ca)]
    public.append(("agent.ledger.certificate", agent.ledger.certificate))
    public += [("agent.receipts.importers", path) for path in agent.receipts.importers]
    for key, path in public:
        if path:
            check_readable(Path(path), key, findings)
    for path in agent.custody.recipients:
        check_recipient(Path(path), "agent.custody.recipients", findings)
