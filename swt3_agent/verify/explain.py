"""Which chain of trust a report is the outcome of: for those who rather look than read."""

from collections.abc import Iterator, Mapping

from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.tcg.public import EccPublic
from swt3_agent.verify.bundle.report import BundleReport
from swt3_agent.verify.chain import Link, Verdicts, Word
from swt3_agent.verify.challenge_report import ChallengeReport
from swt3_agent.verify.dsse import StatementReport
from swt3_agent.verify.moments import utc_text
from swt3_agent.verify.report import HeadInfo, Report

_DIGITS = 16  # of a digest that a picture shows


def explain(report: Report | BundleReport | ChallengeReport | StatementReport) -> Link:
    """The chain behind ``report``, from the EK down."""
    if isinstance(report, BundleReport):
        return _bundle(report)
    held = Verdicts(report.checks)
    if isinstance(report, ChallengeReport):
        return _anchored(report.statement, held, _challenge(report, held), report.keys)
    if isinstance(report, StatementReport):
        return _anchored(report.statement, held, _statement(report, held), report.keys)
    return _anchored(report.statement, held, _proof(report, held), report.keys)


def _anchored(
    statement: TrustStatement | None,
    held: Verdicts,
    signed: tuple[Link, ...],
    keys: tuple[EccPublic, ...] = (),
) -> Link:
    """EK, enroller and AK, and under them what the AK ``signed``."""
    vouched = held("signer")
    rests = signed
    for place, key in reversed(list(enumerate(keys[1:], 1))):
        name = key.name().hex()[:_DIGITS]
        what = f"its successor no. {place}, {name}..., certified by the key before"
        rests = (Link(what, vouched, Word.TPM, rests),)
    if statement is None:
        ak = Link("some attestation key: of which TPM, nobody says", None, Word.NODE, rests)
        word = "his trust file holds" if vouched else "no trust file holds, or was given"
        enroller = Link(f"enroller: {word}", vouched, Word.READER, (ak,))
        return Link("EK: nothing is known of it", None, Word.ENROLLER, (enroller,))
    kind = "a hardware TPM" if statement.tpm is TpmKind.HARDWARE else "a SOFTWARE TPM"
    ak = Link(
        f"AK of node {statement.node_id}, in {kind} by credential activation",
        _worst(vouched, held("root-of-trust")),
        Word.ENROLLER,
        rests,
    )
    enroller = Link(
        f"enroller {statement.enroller} signed the trust file; is the key his?",
        vouched,
        Word.READER,
        (ak,),
    )
    return Link(*_endorsement(statement, vouched), Word.ENROLLER, (enroller,))


def _endorsement(statement: TrustStatement, vouched: bool | None) -> tuple[str, bool | None]:
    if statement.ek_sha256 is None:
        return "EK: the trust file names none", None
    digest = statement.ek_sha256.hex()[:_DIGITS]
    root = statement.ek_root_sha256
    if statement.ek_certified and root is not None:
        return f"EK {digest}..., certified under root {root.hex()[:_DIGITS]}...", vouched
    if statement.ek_certified is False:
        return f"EK {digest}..., pinned: no certificate of a TPM vendor", vouched
    return f"EK {digest}...: whether certified or pinned is not said", None


def _proof(report: Report, held: Verdicts) -> tuple[Link, ...]:
    record, head = report.record, report.head
    name = "the record" if record is None else f"record {record.seq}"
    under = "" if head is None else f" of {head.size}"
    links = (
        Link(
            f"{name}{under}: leaf and inclusion path",
            held("leaf", "inclusion"),
            Word.ARITHMETIC,
            (_content(report, held),),
        ),
        Link("log PCR: this head was extended before it was quoted", held("log-pcr"), Word.TPM, (
            Link("every other head of this boot: only a bundle replays them", None, Word.TPM),
        )),
        _registers(held, "a proof holds no boot log"),
        Link("counter certificates, from boot to boot: in a bundle", None, Word.TPM),
        *_clock(head, held, held("memory")),
        *_earlier(report, held),
    )  # fmt: skip
    return (_quoted(head, held, links),)


def _quoted(head: HeadInfo | None, held: Verdicts, rests: tuple[Link, ...]) -> Link:
    what = "head" if head is None else f"head of {head.size} records"
    return Link(
        f"{what}, quoted by the AK",
        held("signature", "quote", "attestation-key"),
        Word.TPM,
        rests,
    )


def _content(report: Report, held: Verdicts) -> Link:
    record = report.record
    if held("fingerprint"):
        fingerprint = Link("its SWT3 fingerprint recomputes", True, Word.ARITHMETIC)
    else:
        fingerprint = Link("it has no fingerprint to recompute", held("fingerprint"), Word.NODE)
    provenance: Mapping[str, object] = {}
    if record is not None and record.provenance is not None:
        provenance = record.provenance
    own = provenance.get("listener") == "agent"
    root = str(provenance.get("root_of_trust", "self-reported"))
    detail = f"{root}, judged by the agent" if own else "what it says of the world"
    word = Word.NODE if own else Word.SENDER
    return Link(f"its content: {detail}", None, word, (fingerprint,))


def _registers(held: Verdicts, without_log: str) -> Link:
    compared = held("reference")
    if compared is None:
        reference = Link("reference values: not given, nothing compared", None, Word.REFERENCE)
    else:
        reference = Link("reference values: the state is an accepted one", compared, Word.REFERENCE)
    log = Link(f"boot and IMA log: {without_log}", None, Word.NODE, (reference,))
    return Link("PCRs: the values are the quoted ones", held("pcrs"), Word.TPM, (log,))


def _clock(head: HeadInfo | None, held: Verdicts, remembered: bool | None) -> Iterator[Link]:
    if head is None or head.tpm_clock_ms is None:
        return
    utc = Link(f"UTC {utc_text(head.utc_ms)} in the head", held("time"), Word.NODE)
    yield Link(
        f"clock {head.tpm_clock_ms} ms, reset {head.tpm_resets}, restart {head.tpm_restarts}",
        held("quote"),
        Word.TPM,
        (utc, _memory(remembered)),
    )


def _memory(remembered: bool | None) -> Link:
    if remembered is None:
        return Link(
            "no older or second history: what you saw before may show it (--state)",
            None,
            Word.READER,
        )
    return Link("it goes on from what you saw before (--state)", remembered, Word.ARITHMETIC)


def _earlier(report: Report, held: Verdicts) -> Iterator[Link]:
    if report.previous is not None:
        yield Link(
            f"the head before the record, of {report.previous.size} records, led to this one",
            held("previous"),
            Word.TPM,
        )


def _challenge(report: ChallengeReport, held: Verdicts) -> tuple[Link, ...]:
    attest = report.attest
    registers = _registers(held, "an answer holds none")
    links: tuple[Link, ...] = (registers,)
    if attest is not None:
        what = f"clock {attest.clock_ms} ms, reset {attest.reset_count}"
        links += (Link(what, held("quote"), Word.TPM, (_memory(held("memory")),)),)
    nonce = Link("it carries your nonce: made after you asked", held("nonce"), Word.TPM, links)
    return (Link("quote by the AK", held("signature", "quote"), Word.TPM, (nonce,)),)


def _statement(report: StatementReport, held: Verdicts) -> tuple[Link, ...]:
    content = report.content
    what = "the statement" if content is None else f"{content.attribute} of {_subject(report)}"
    stated = Link(what, None, Word.NODE, (
        Link("the record in the log: that takes a proof of it", None, Word.NODE),
        Link("the raw evidence: it stays on the node", None, Word.NODE),
    ))  # fmt: skip
    return (Link("DSSE signature by the AK", held("signature"), Word.TPM, (stated,)),)


def _subject(report: StatementReport) -> str:
    assert report.content is not None  # noqa: S101  the caller looked
    subjects = report.content.subjects
    more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
    return f"{subjects[0].digest[:_DIGITS]}...{more}"


def _bundle(report: BundleReport) -> Link:
    closing, held = Verdicts(report.checks, "closing-"), Verdicts(report.checks)
    manifest, head = report.manifest, report.head
    span = "" if manifest is None else f" {manifest.first} to {manifest.end - 1}"
    records = Link(
        f"records{span}: each makes its leaf, the leaves the roots of the heads",
        held("records", "sums", "tree"),
        Word.ARITHMETIC,
        (Link("what they say of the world", None, Word.SENDER),),
    )
    manifest_link = Link(
        "manifest: the log holds its digest under the last head",
        _worst(closing("leaf", "inclusion"), held("closing", "members")),
        Word.ARITHMETIC,
        (records,),
    )
    chain = report.chain
    heads = "every head" if chain is None else f"each of {chain.count} heads"
    log_pcr = Link(
        f"log PCR: {heads} leads to the next, none hidden",
        _worst(held("heads"), held("signers")),
        Word.TPM,
    )
    links = (
        manifest_link,
        log_pcr,
        _boots(report, held),
        Link("counter certificates: every step, boot to boot", held("counter"), Word.TPM),
        *_clock(head, closing, held("memory")),
    )
    keys = () if report.closing is None else report.closing.keys
    quoted = Link(
        "last head, quoted by the AK" if head is None else f"last head, of {head.size} records",
        closing("signature", "quote", "attestation-key", "log-pcr"),
        Word.TPM,
        links,
    )
    return _anchored(report.statement, closing, (quoted,), keys)


def _boots(report: BundleReport, held: Verdicts) -> Link:
    compared = held("reference")
    said = "the state is an accepted one" if compared else "nothing was compared"
    reference = Link(f"reference values: {said}", compared, Word.REFERENCE)
    logs = sum(boot.log is not None for boot in report.boots)
    measured = sum(boot.ima is not None for boot in report.boots)
    what = f"boot logs of {logs} boots and IMA logs of {measured} lead to the quoted PCRs"
    read = held("boots") if logs or measured else None
    log = Link(what if read else "no boot log", read, Word.ARITHMETIC, (reference,))
    count, quoted = len(report.boots), sum(boot.quotes > 0 for boot in report.boots)
    said = "as quoted" if quoted == count else f"of which {quoted} have quotes of the platform here"
    all_quoted = _worst(held("boots"), True if quoted == count else None)
    return Link(f"PCRs of {count} boots, {said}", all_quoted, Word.TPM, (log,))


def _worst(*marks: bool | None) -> bool | None:
    return False if False in marks else None if None in marks else True
