"""The agent.yaml that an operator begins with: every section explained, little of it set.

Lines that begin with ``#`` and a key, without a space, are settings that were left out.
"""

from dataclasses import dataclass

import yaml

from swt3_agent.config.profile import Profile
from swt3_agent.config.values import DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the operator said: ``profile`` None for the agent's own defaults."""

    profile: Profile | None
    tenant: str | None
    agent_id: str
    air_gap: bool


def agent_yaml(beginning: Beginning) -> str:
    """The text of a configuration for ``beginning``."""
    parts = [_HEAD, _profile(beginning), _identity(beginning), _signing(beginning)]
    parts.append(_AIR_GAP if beginning.air_gap else _LEDGER)
    parts.append(_AGENT)
    if beginning.air_gap:
        parts.append(_NO_LEDGER)
    parts.append(_CUSTODY_AIR_GAP if beginning.air_gap else _CUSTODY)
    parts.append(_REST)
    return "\n".join(parts)


def _profile(beginning: Beginning) -> str:
    profile = beginning.profile
    if profile is None:
        return _NO_PROFILE
    facts = profile.facts
    lines = [
        "# What must be witnessed, how often, and what may leave (`swt3-agent profiles show`).",
        f"# {facts.title}: {'; '.join(facts.framework)}.",
        f"# Rules as of {facts.rules_as_of.isoformat()}; signing tier {facts.signing_tier}.",
        f"profile: {profile.name}",
        "",
    ]
    return "\n".join(lines)


def _identity(beginning: Beginning) -> str:
    tenant = beginning.tenant
    level = 3 if beginning.air_gap else None
    policy = {} if beginning.profile is None else beginning.profile.document.get("policy", {})
    jurisdiction = "#jurisdiction: DE" + (
        "  # this profile requires it: take the # away" if "require_jurisdiction" in policy else ""
    )
    lines = [
        "# In whose name anchors are minted. The tenant is part of every fingerprint.",
        _value("tenant_id", tenant) if tenant else f"#tenant_id: {DEFAULT_TENANT}",
        _value("agent_id", beginning.agent_id),
        "# Where, on what ground and for what the models are run: labels of every anchor.",
        jurisdiction,
        "#legal_basis: legitimate_interest",
        "#purpose_class: inference",
        "#policy_version: '1'",
        "#cycle_id: '2026-Q4'",
        "",
        "# What may leave: 0 analytics, 1 standard, 2 sensitive, 3 classified (protocol.md 6)",
        "# Left out: the profile's; without one 3 where there is no ledger, 1 where there is.",
        "#clearing_level: 2" if level is None else f"clearing_level: {level}",
        "",
    ]
    return "\n".join(lines)


def _value(key: str, value: str) -> str:
    return yaml.safe_dump({key: value}, allow_unicode=True, width=1000).strip()


def _signing(beginning: Beginning) -> str:
    policy = {} if beginning.profile is None else beginning.profile.document.get("policy", {})
    required = " This profile requires it." if policy.get("require_signing") else ""
    return f"""\
# Signature of every anchor.{required}
# The key comes from the credential `signing-key`
#   install -d -m 0700 /etc/credstore
#   (umask 077; openssl rand -hex 32 > /etc/credstore/swt3-agent.signing-key)
# or from the variable that is named here; never from this file.
#signing_key_env: SWT3_SIGNING_KEY
#signing_key_id: key-1
#signing_key_version: 1
#signing_algorithm: hmac-sha256
"""


_HEAD = """\
# swt3-agent: every key is in docs/configuration.md, `swt3-agent config check` says what is wrong,
# and `swt3-agent config show --sources` what is in force. The environment (SWT3_*) wins over this
# file, this file over the profile; what a profile demands can be raised here and never lowered.
"""

_NO_PROFILE = """\
# Whose rules hold: see `swt3-agent profiles`.
#profile: eu-ai-act-high-risk
"""

_LEDGER = """\
# Where anchors go; without an endpoint they stay here. The key comes from the credential
# `ledger-key`, from SWT3_DSN or SWT3_API_KEY, or from the variable that is named here.
#endpoint: https://ledger.example.com
#api_key_env: SWT3_API_KEY
"""

_AIR_GAP = """\
# No ledger: nothing leaves this node by itself. `swt3-agent export` writes a bundle of the log for
# a medium, `swt3-agent import-receipts` takes back what its verifier signed for it.
# systemd/air-gap.conf takes the network away from the service as well.
"""

_AGENT = """\
# Which tools `check` lets an agent call.
#mcp_policy:
#  tool_allowlist: [search_*]
#  tool_blocklist: [shell_*, exec_*]
#  max_velocity: 10/60s
#  max_chain_depth: 8
#  max_tokens_per_session: 100000

agent:
  # The models whose files are hashed, each with the digest that was approved (`swt3-agent attest`
  # shows it). Without one AI-MDL.1 is recorded and never judged.
  #models:
  #  - name: llama-70b
  #    path: /models/llama-70b
  #    approved: '0000000000000000000000000000000000000000000000000000000000000000'

  # How many accelerators this node must have; one that is gone is a FAIL.
  #gpu:
  #  expected: 8
  #environment:
  #  max_temperature: 85

  # Seconds between two readings, two signed heads of the log, two steps of the TPM's counter.
  #intervals:
  #  host: 3600
  #  platform: 3600
  #  gpu: 3600
  #  weights: 3600
  #  environment: 3600
  #  checkpoint: 10
  #  counter: 900

  # Which TPM signs; left out: the machine's own, /dev/tpmrm0.
  #tpm:
  #  tcti: device:/dev/tpmrm0
  #  log_pcr: 13
  #  counter: '01800053'
"""

_NO_LEDGER = """\
  # Refuses to start with a ledger, also with one that a variable names.
  air_gap: true
"""

_CUSTODY = """\
  # What clearing takes away is kept here, and only here.
  #custody:
  #  format: log
  #  recipients: [/etc/swt3-agent/custodian.pem]

  # How the ledger is reached.
  #ledger:
  #  ca: /etc/swt3-agent/ledger-ca.pem
  #  certificate: /etc/swt3-agent/client.pem
  #  key: /etc/swt3-agent/client.key
"""

_CUSTODY_AIR_GAP = """\
  # What clearing takes away at level 3 is kept here, and only here. With the public keys of its
  # custodians only they can read it; without them anyone who can read the state directory.
  #custody:
  #  format: log
  #  recipients: [/etc/swt3-agent/custodian.pem]

  # Whose receipts settle what was exported.
  #receipts:
  #  importers: [/etc/swt3-agent/importer.pem]
"""

_REST = """\
  # Take the names of guardrails out of contexts at level 1 too, as one published text wants.
  #clearing:
  #  drop_guardrail_names: true

  # The ledger's interface for clients that speak HTTP: a socket of its own; on TCP only with a
  # token, since every user of this machine reaches a port.
  #http:
  #  port: 8480
  #  token_file: /etc/swt3-agent/http-token

  # Health and metrics: a socket of its own; on TCP only where a port is given.
  #ops:
  #  port: 9090

  # Where the helper answers that reads the boot and IMA logs; '' where there is none.
  #probe:
  #  socket: /run/swt3-agent-probe.sock

  # One line of JSON for each anchor on standard output.
  #output:
  #  json_lines: true
"""
