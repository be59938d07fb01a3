"""What a bundle does not prove, said with every report (docs/formats.md, "What is not proven")."""

from collections.abc import Iterator

from swt3_agent.protocol.bundle import Manifest
from swt3_agent.verify.bundle.contents import Contents
from swt3_agent.verify.bundle.history import History
from swt3_agent.verify.moments import utc_text

_SHOWN = 20  # resets whose window is told
_IN_CUSTODY = 2  # the clearing level from which on the agent's own anchors lose something too


def limits(
    manifest: Manifest, contents: Contents, history: History, *, compared: bool
) -> Iterator[str]:
    """Sentences on what a reader must not conclude from this bundle; ``compared``: boot states were
    held against reference values."""
    yield "That the records are true: root could lie to the agent before they were recorded."
    yield (
        "What kind of record each is and when it came: leaves cover neither, so that is the node's"
        " own word at the time of the export."
    )
    yield "What relayed records say of the world: it is the word of the processes that sent them."
    if contents.without_sender:
        yield (
            f"Who sent {contents.without_sender} relayed records: only a digest of their provenance"
            " leaves a node of clearing level 2 or 3. Ask the operator for a proof of one."
        )
    yield (
        "That this is the newest bundle of the node: an older one verifies as well. Compare the"
        " period above with the day on which you asked for it."
    )
    yield "When heads were made: t is the node's own clock, and the TPM's only counts milliseconds."
    if not history.chain.signed:
        yield "Who made this log: nobody signed its heads, and root can write another."
    elif not compared:
        yield (
            "That the boot state is good: it was quoted, replayed where a boot log is here, and not"
            " compared with reference values (--reference)."
        )
        yield from contents.baselines.limits()
    yield from _windows(history)
    if manifest.first > 0:
        yield (
            f"Anything of records 0 to {manifest.first - 1} but their root, and that no other"
            " history of this log was quoted before this range: compare it with the bundle that"
            " ends there."
        )
    if manifest.level >= _IN_CUSTODY:
        yield (
            "What clearing removed from records: it is in custody on the node, for those who have"
            " its keys, and this bundle does not name them. Where they are lost, nobody can show"
            " it again."
        )
    if manifest.withheld:
        yield "What the withheld records hold: only their leaf hashes are here."


def _windows(history: History) -> Iterator[str]:
    for window in history.windows.all[:_SHOWN]:
        since = "with ctr=0, records after the last head before it may have been dropped"
        if window.first is not None:
            since = f"after record {window.first - 1}, the last certificate of the counter before"
            since += f" it, more may have been recorded than is here till record {window.end}"
        yield (
            f"What was recorded just before the reset of boot {window.boot_id}: {since}"
            f" ({utc_text(window.from_ms)} to {utc_text(window.to_ms)})."
        )
    if (more := len(history.windows.all) - _SHOWN) > 0:
        yield f"What was recorded just before each of {more} further resets: --json lists them."
    last = "the last head" if history.counter.last is None else "the counter's last certificate"
    yield (
        f"That no record was dropped between {last} and a reset still to come: only the next bundle"
        " can show it."
    )
