"""What a bundle does not prove, said with every report (docs/formats.md, "What is not proven")."""

from collections.abc import Iterator

from swt3_agent.protocol.bundle import Manifest
from swt3_agent.verify.bundle.contents import Contents
from swt3_agent.verify.bundle.heads import HeadChain

_IN_CUSTODY = 2  # the clearing level from which on the agent's own anchors lose something too


def limits(manifest: Manifest, contents: Contents, chain: HeadChain) -> Iterator[str]:
    """Sentences on what a reader must not conclude from this bundle."""
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
    if chain.signed:
        yield "That the boot state is good: PCR values were quoted, not compared with references."
    else:
        yield "Who made this log: nobody signed its heads, and root can write another."
    if chain.resets:
        yield (
            f"What was recorded just before each of {chain.resets} resets: with ctr=0, records"
            " after the last head before a reset may have been dropped."
        )
    yield (
        "That no record was dropped between the last head and a reset still to come: with ctr=0"
        " only the next bundle can show it."
    )
    if manifest.first > 0:
        yield (
            f"Anything of records 0 to {manifest.first - 1} but their root: compare it with the"
            " bundle that ends there."
        )
    if manifest.level >= _IN_CUSTODY:
        yield (
            "What clearing removed from records: it is in custody on the node, for those who have"
            " its keys, and this bundle does not name them. Where they are lost, nobody can show"
            " it again."
        )
    if manifest.withheld:
        yield "What the withheld records hold: only their leaf hashes are here."
