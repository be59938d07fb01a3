"""What judging a bundle found, in the order in which an assessor reads it.

Verdict and period, scope, findings, gaps and failures, keys and trust, how to verify again, hashes
of what was read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from swt3_agent.protocol.bundle import Manifest
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.verify.bundle.boot_lines import boot_lines
from swt3_agent.verify.bundle.boot_state import BootState
from swt3_agent.verify.bundle.contents import Contents
from swt3_agent.verify.bundle.counter import CounterChain
from swt3_agent.verify.bundle.heads import HeadChain
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.bundle.irregularity import Irregularity
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.report import (
    HeadInfo,
    Report,
    Verification,
    head_json,
    printable,
)

_SHOWN = 20  # findings, procedures and listeners that a terminal gets of each


@dataclass(frozen=True, slots=True)
class BundleReport(Verification):
    """Outcome of ``verify_bundle``.

    ``hashes`` are SHA-256 in hex by name: the file, manifest, proof and tail. ``manifest``,
    ``contents``, ``history`` and ``head`` are None, and ``boots`` empty, where the outcome is
    false: nothing in a false bundle is worth showing. ``roots`` are those of the log, by size,
    ``closing`` is the report on ``proof.json``.
    """

    hashes: Mapping[str, str]
    manifest: Manifest | None = None
    contents: Contents | None = None
    history: History | None = None
    boots: tuple[BootState, ...] = ()
    head: HeadInfo | None = None
    roots: Mapping[int, bytes] = field(default_factory=dict)
    closing: Report | None = None

    @property
    def statement(self) -> TrustStatement | None:
        """Whose word the bundle rests on."""
        return None if self.closing is None else self.closing.statement

    def without_content(self) -> "BundleReport":
        """Nothing in a false bundle is worth showing."""
        return replace(
            self,
            manifest=None,
            contents=None,
            history=None,
            boots=(),
            head=None,
            roots={},
            closing=None,
            not_proven=(),
        )

    @property
    def chain(self) -> HeadChain | None:
        """The heads; None where ``history`` is."""
        return None if self.history is None else self.history.chain

    def to_json(self) -> dict[str, object]:
        """JSON-able form, schema ``swt3-agent/verify/1`` (docs/formats.md, "Bundle")."""
        return {
            **self.summary_json(),
            "bundle": self._bundle_json(),
            "head": self.head and head_json(self.head),
            "not_proven": list(self.not_proven),
            "hashes": dict(self.hashes),
        }

    def _bundle_json(self) -> dict[str, object] | None:
        manifest, contents, history = self.manifest, self.contents, self.history
        if manifest is None or contents is None or history is None:
            return None
        chain = history.chain
        earliest, latest = _period(contents, chain)
        return {
            "node_id": manifest.node_id,
            "log_id": manifest.log_id,
            "tenant": manifest.tenant,
            "clearing_level": manifest.level,
            "agent_version": manifest.agent_version,
            "made_ms": manifest.made_ms,
            "first": manifest.first,
            "end": manifest.end,
            "root": manifest.root,
            "received_from_ms": earliest,
            "received_to_ms": latest,
            "kinds": dict(sorted(contents.kinds.items())),
            "withheld": dict(sorted(contents.withheld.items())),
            "fingerprints": contents.recomputed,
            "fingerprints_not_judged": contents.not_recomputed,
            "without_sender": contents.without_sender,
            "heads": {"seen": chain.count, "signed": chain.signed, "resets": chain.resets},
            "starts": contents.starts,
            "procedures": [
                {"procedure_id": procedure, "verdict": verdict or None, "count": count}
                for (procedure, verdict), count in sorted(contents.verdicts.items())
            ],
            "failures": [
                {
                    "seq": failure.seq,
                    "procedure_id": failure.procedure_id,
                    "received_ms": failure.received_ns // 1_000_000,
                    "reasons": list(failure.reasons),
                }
                for failure in contents.failures
            ],
            "findings": dict(sorted(contents.findings.items())),
            "irregularities": [
                {"code": found.code, "detail": found.detail} for found in history.irregularities
            ],
            "counter": _counter_json(history.counter),
            "resets": [window.to_json() for window in history.windows.all],
            "boots": [boot.to_json() for boot in self.boots],
            **contents.baselines.to_json(),
            "listeners": {
                name: {
                    "gaps": sums.gaps,
                    "refused": dict(sorted(sums.refused.items())),
                    "dropped": sums.dropped,
                    "evicted": sums.evicted,
                }
                for name, sums in sorted(contents.gaps.by_listener.items())
            },
            "collectors": [
                {"name": collector.name, "interval_ms": collector.interval_ms}
                for collector in manifest.collectors
            ],
            "omitted": [{"what": omitted.what, "why": omitted.why} for omitted in manifest.omitted],
        }

    def render(self) -> str:
        """Lines for a terminal, without a last newline, in printable ASCII."""
        lines = self.verdict_lines()
        if self.manifest is not None and self.contents is not None and self.history is not None:
            lines += _scope(self.manifest, self.contents, self.history.chain)
            lines += _findings(self.contents)
            lines += _gaps(self.manifest, self.contents, self.history.irregularities)
            lines += boot_lines(self.boots, self.history)
            lines += self.contents.baselines.lines()
        lines += ["keys and trust", f"  root        {self.root_of_trust.value}"]
        if self.head is not None:
            lines.append(f"  last head   {self.head.size} records, boot {self.head.boot_id}")
        lines += self.basis_lines()
        software = self.root_of_trust is RootOfTrust.SOFTWARE_TPM and self.code != "SOFTWARE_TPM"
        again = [*_AGAIN[:-1], _AGAIN[-1] + " --allow-software-tpm" * software]
        lines += ["to verify again", *(f"  {command}" for command in again)]
        lines += ["hashes", *(f"  {digest}  {name}" for name, digest in self.hashes.items())]
        return "\n".join(map(printable, lines))


def _counter_json(counter: CounterChain) -> dict[str, object] | None:
    if counter.last is None:
        return None
    return {
        "index": f"{counter.last.public.index:08x}",
        "value": counter.value,
        "steps": counter.steps,
        "record": counter.last.seq,
    }


_AGAIN = (
    "sha256sum BUNDLE",
    "tar -xOf BUNDLE manifest.json | sha256sum",
    "swt3-agent verify BUNDLE --trust TRUST",
)


def _period(contents: Contents, chain: HeadChain) -> tuple[int | None, int | None]:
    """When the records were received, as the node says; where none is shown, when its heads are."""
    if contents.received_ns is not None:
        earliest, latest = contents.received_ns
        return earliest // 1_000_000, latest // 1_000_000
    first, last = chain.first, chain.last
    return None if first is None else first.utc_ms, None if last is None else last.utc_ms


def _scope(manifest: Manifest, contents: Contents, chain: HeadChain) -> list[str]:
    earliest, latest = map(utc_text, _period(contents, chain))
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(contents.kinds.items()))
    cadence = ", ".join(
        f"{collector.name} every {collector.interval_ms / 1000:g} s"
        for collector in manifest.collectors
    )
    return [
        f"  period      {earliest} to {latest}, by the node's own clock",
        "scope",
        f"  node        {manifest.node_id}, log {manifest.log_id}",
        f"  tenant      {manifest.tenant}, clearing level {manifest.level}",
        f"  exported    {utc_text(manifest.made_ms)}, as agent {manifest.agent_version} says",
        f"  records     {manifest.first} to {manifest.end - 1}: {kinds or 'none shown'}",
        f"  heads       {chain.count}, of which {chain.signed} signed",
        f"  anchors     {contents.recomputed} fingerprints recompute",
        f"  collectors  {cadence or 'none'}",
    ]


def _findings(contents: Contents) -> list[str]:
    lines = ["findings"]
    for (procedure, verdict), count in sorted(contents.verdicts.items())[:_SHOWN]:
        lines.append(f"  {procedure:<12}{verdict or 'relayed'} {count}")
    for code, count in contents.findings.most_common(_SHOWN):
        lines.append(f"  noticed     {code} {count}")
    return lines if len(lines) > 1 else [*lines, "  none"]


def _gaps(manifest: Manifest, contents: Contents, irregularities: list[Irregularity]) -> list[str]:
    lines = ["gaps and failures", *_failures(contents)]
    lines += [f"  {found.code}: {found.detail}" for found in irregularities[:_SHOWN]]
    for name, sums in sorted(contents.gaps.by_listener.items())[:_SHOWN]:
        refused = ", ".join(f"{code} {count}" for code, count in sorted(sums.refused.items()))
        lines.append(
            f"  listener    {name}: refused {refused or 'none'}, dropped {sums.dropped},"
            f" evicted {sums.evicted}"
        )
    lines += [
        f"  withheld    {count} records: {reason}"
        for reason, count in sorted(contents.withheld.items())
    ]
    lines += [f"  not here    {omitted.what}: {omitted.why}" for omitted in manifest.omitted]
    return lines


def _failures(contents: Contents) -> list[str]:
    """Where to look: the count of failures is among the findings."""
    lines = [
        f"  failed      {failure.procedure_id} in record {failure.seq},"
        f" {utc_text(failure.received_ns // 1_000_000)}:"
        f" {', '.join(failure.reasons) or 'no reason'}"
        for failure in contents.failures[:_SHOWN]
    ]
    more = sum(count for (_, verdict), count in contents.verdicts.items() if verdict == "FAIL")
    more -= len(lines)
    return lines if more <= 0 else [*lines, f"  failed      {more} more: --json lists them"]
