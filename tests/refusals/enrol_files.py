"""What an enroller keeps or is given beside the request, and must refuse: roots, state, trust."""

from collections.abc import Iterator

from swt3_agent.protocol.enrolment import encode_file
from tests.refusals import enrol_answers
from tests.refusals.case import Case
from tests.refusals.enrolment import EK, ISSUER, NODE, REFUSED, RIGHT, ROOT
from tests.support.enrolment import NOW_MS, enrolment_key, request_of
from tests.support.forge import ENROLLER, OTHER_ENROLLER, UTC_MS, trust_file

REQUEST = encode_file(request_of(NODE, enrolment_key(EK, RIGHT)))
TRUST = trust_file()


def cases() -> Iterator[Case]:
    """Every one."""
    for name, threat, code, roots in (
        ("cut", "a root cut short", "AUTHORITY_MALFORMED", ROOT.pem[:-40]),
        ("padded", "a root with a byte behind it", "AUTHORITY_MALFORMED", ROOT.der + b"\0"),
        ("text", "no certificate", "AUTHORITY_MALFORMED", b"no certificate\n"),
        ("huge", "a file without end", "AUTHORITY_MALFORMED", b"\x30" * (2**20 + 1)),
        ("intermediate", "no root among them", "AUTHORITIES_NO_ROOT", ISSUER.pem),
    ):
        files = {"file": REQUEST, "roots": roots}
        told = {"now_ms": NOW_MS}
        yield Case(f"enrol-roots-{name}", threat, code, "enrol-request", files, told, REFUSED)
    yield from _states()
    yield from _trust_files()


def _states() -> Iterator[Case]:
    answer = next(iter(enrol_answers.cases()))
    good = answer.files["state"]
    for name, data in (
        ("empty", b""),
        ("cut", good[:-20]),
        ("list", b"[]"),
        ("no-text", b"\xff"),
        ("secret", good.replace(b'"secret":"', b'"secret":"AAAA')),
        ("huge", b"{" * 400_000),
    ):
        files = {"file": answer.files["file"], "state": data}
        threat = "what the enroller kept was damaged"
        told = {"now_ms": NOW_MS}
        slug = f"enrol-state-{name}"
        yield Case(slug, threat, "ENROL_STATE", "enrol-answer", files, told, REFUSED)


def _trust_files() -> Iterator[Case]:
    revoked = trust_file(revoked_ms=UTC_MS)
    for name, threat, code, trust, key in (
        ("other", "another enroller renews", "TRUST_OTHER_ENROLLER", TRUST, OTHER_ENROLLER),
        ("revoked", "a revocation taken back", "TRUST_REVOKED", revoked, ENROLLER),
        ("changed", "a changed file renewed", "TRUST_SIGNATURE",
         TRUST.replace(b"tpm software", b"tpm hardware"), ENROLLER),
        ("cut", "a file cut short", "TRUST_BODY", TRUST[:-9], ENROLLER),
    ):  # fmt: skip
        told = {"now_ms": NOW_MS, "key": key.private_bytes_raw().hex()}
        slug = f"enrol-renew-{name}"
        yield Case(slug, threat, code, "enrol-renew", {"file": trust}, told, REFUSED)
