"""Trust files: whose signed word says which key speaks for a node (docs/formats.md, "Trust file").

Credential activation, which ties an AK to a TPM, cannot be replayed offline. Who did not take part
in it trusts the enroller's signature instead, and the verifier says so. The text of the note:

    swt3-agent/trust/2
    enroller <name> <base64 Ed25519 public key>
    node <node_id>
    log <log_id>
    ak <base64 TPMT_PUBLIC>
    tpm hardware|software
    log-pcr <index>
    valid <from, UTC ms> <until, UTC ms>
    ek sha256:<hex SHA-256 of the EK's SubjectPublicKeyInfo> certified|pinned
    ek-root sha256:<hex SHA-256 of the root certificate's DER>           (with certified, only then)
    counter <8 hex digits of the NV index> <hex Name of the index>                  (optional)
    floor size=<n> root=<base64> clock=<ms> resets=<n> counter=<n>                  (optional)
    revoked <UTC ms>                                                                (optional)

Version 1 ends its line ``ek`` after the digest, may lack it, and knows no ``ek-root`` and no
``counter``. It stays readable and is still written for a statement that says nothing of these.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import (
    ED25519_TYPE,
    NoteSignature,
    decode_base64,
    encode_base64,
    key_id,
    parse_note,
)

TRUST_FORMAT_1 = "swt3-agent/trust/1"
TRUST_FORMAT = "swt3-agent/trust/2"

_NUMBER = r"(?:0|[1-9][0-9]{0,19})"
_EK_1 = r"(?:ek sha256:(?P<ek_sha256>[0-9a-f]{64})\n)?"
_EK_2 = (
    r"ek sha256:(?P<ek_sha256>[0-9a-f]{64}) (?:pinned\n|(?P<certified>certified)\n"
    r"ek-root sha256:(?P<ek_root_sha256>[0-9a-f]{64})\n)"
    r"(?:counter (?P<counter_index>01[0-9a-f]{6}) (?P<counter_name>000b[0-9a-f]{64})\n)?"
)
_START = (
    r"enroller (?P<enroller>[!-*,-~]{1,128}) (?P<enroller_key>[A-Za-z0-9+/]{43}=)\n"
    r"node (?P<node_id>[0-9a-f]{32})\n"
    r"log (?P<log_id>[0-9a-f]{16,64})\n"
    r"ak (?P<ak_public>[A-Za-z0-9+/=]{4,2048})\n"
    r"tpm (?P<tpm>hardware|software)\n"
    rf"log-pcr (?P<log_pcr>{_NUMBER})\n"
    rf"valid (?P<valid_from_ms>{_NUMBER}) (?P<valid_until_ms>{_NUMBER})\n"
)
_END = (
    rf"(?:floor size=(?P<size>{_NUMBER}) root=(?P<root>[A-Za-z0-9+/]{{43}}=)"
    rf" clock=(?P<clock_ms>{_NUMBER}) resets=(?P<resets>{_NUMBER})"
    rf" counter=(?P<counter>{_NUMBER})\n)?"
    rf"(?:revoked (?P<revoked_ms>{_NUMBER})\n)?"
)
_BODIES = {
    TRUST_FORMAT_1: re.compile(f"{re.escape(TRUST_FORMAT_1)}\n{_START}{_EK_1}{_END}"),
    TRUST_FORMAT: re.compile(f"{re.escape(TRUST_FORMAT)}\n{_START}{_EK_2}{_END}"),
}


class TpmKind(Enum):
    """What the enroller saw: a TPM with an EK certificate he accepted, or software."""

    HARDWARE = "hardware"
    SOFTWARE = "software"


@dataclass(frozen=True, slots=True)
class Floors:
    """State of log and TPM at enrolment; nothing older is vouched for.

    ``root`` is that of the first ``size`` records; ``clock_ms`` and ``resets`` are the TPM's clock
    and resetCount; ``counter`` is the gapless NV counter.
    """

    size: int
    root: bytes
    clock_ms: int
    resets: int
    counter: int


@dataclass(frozen=True, slots=True)
class TrustStatement:
    """What the enroller vouches for, from ``valid_from_ms`` up to and without ``valid_until_ms``.

    ``enroller`` is printable ASCII without space or plus; ``enroller_key`` an Ed25519 public key
    of 32 bytes; ``ak_public`` the AK's TPMT_PUBLIC; ``log_pcr`` the one register that may hold the
    log, since a second register could hold a second history. Times are UTC milliseconds.

    ``ek_certified`` says how the enroller knew the EK: True by a certificate that leads to the root
    ``ek_root_sha256`` (of its DER), False by a digest pinned by hand, None in version 1, which
    does not say. ``counter_index`` and ``counter_name`` (34 bytes) are the NV index of the gapless
    counter and its Name once it was written; both or neither, and only in version 2.
    """

    enroller: str
    enroller_key: bytes
    node_id: str
    log_id: str
    ak_public: bytes
    tpm: TpmKind
    log_pcr: int
    valid_from_ms: int
    valid_until_ms: int
    ek_sha256: bytes | None = None
    floors: Floors | None = None
    revoked_ms: int | None = None
    ek_certified: bool | None = None
    ek_root_sha256: bytes | None = None
    counter_index: int | None = None
    counter_name: bytes | None = None

    def body(self) -> bytes:
        """The signed text. Raises FormatError ``TRUST_BODY`` where a field does not fit it."""
        body = "".join(f"{line}\n" for line in self._lines()).encode()
        if parse_trust_body(body) != self:
            raise _body_error("it cannot say all that it should")
        return body

    def _lines(self) -> Iterator[str]:
        yield TRUST_FORMAT_1 if self.ek_certified is None else TRUST_FORMAT
        yield f"enroller {self.enroller} {encode_base64(self.enroller_key)}"
        yield f"node {self.node_id}"
        yield f"log {self.log_id}"
        yield f"ak {encode_base64(self.ak_public)}"
        yield f"tpm {self.tpm.value}"
        yield f"log-pcr {self.log_pcr}"
        yield f"valid {self.valid_from_ms} {self.valid_until_ms}"
        if self.ek_sha256 is not None:
            how = {None: "", True: " certified", False: " pinned"}[self.ek_certified]
            yield f"ek sha256:{self.ek_sha256.hex()}{how}"
        if self.ek_root_sha256 is not None:
            yield f"ek-root sha256:{self.ek_root_sha256.hex()}"
        if self.counter_index is not None and self.counter_name is not None:
            yield f"counter {self.counter_index:08x} {self.counter_name.hex()}"
        if (floors := self.floors) is not None:
            yield (
                f"floor size={floors.size} root={encode_base64(floors.root)}"
                f" clock={floors.clock_ms} resets={floors.resets} counter={floors.counter}"
            )
        if self.revoked_ms is not None:
            yield f"revoked {self.revoked_ms}"

    def key_id(self) -> bytes:
        """Key id in the enroller's signature line."""
        return key_id(self.enroller, ED25519_TYPE, self.enroller_key)


@dataclass(frozen=True, slots=True)
class SignedTrust:
    """A trust file as it was read. Its signature is not verified yet."""

    body: bytes
    statement: TrustStatement
    signature: NoteSignature


def parse_trust_body(body: bytes) -> TrustStatement:
    """The statement whose ``body()`` is ``body``.

    Raises FormatError ``TRUST_FORMAT_UNKNOWN`` for another format, ``TRUST_BODY`` for a text that
    is not this one.
    """
    version, newline, _ = body.partition(b"\n")
    form = _BODIES.get(version.decode("ascii", "replace"))
    if form is None or not newline:
        raise FormatError(
            "TRUST_FORMAT_UNKNOWN",
            f"the file begins with neither {TRUST_FORMAT_1} nor {TRUST_FORMAT}, so that it cannot"
            " be read as a trust file",
            remedy="give the trust file that the enroller made, or a verifier that knows it",
        )
    try:
        match = form.fullmatch(body.decode("ascii"))
    except UnicodeDecodeError:
        match = None
    if match is None:
        raise _body_error("its lines are not those of the format")
    try:
        statement = TrustStatement(
            enroller=match["enroller"],
            enroller_key=decode_base64(match["enroller_key"]),
            node_id=match["node_id"],
            log_id=match["log_id"],
            ak_public=decode_base64(match["ak_public"]),
            tpm=TpmKind(match["tpm"]),
            log_pcr=int(match["log_pcr"]),
            valid_from_ms=int(match["valid_from_ms"]),
            valid_until_ms=int(match["valid_until_ms"]),
            ek_sha256=bytes.fromhex(match["ek_sha256"]) if match["ek_sha256"] else None,
            floors=_floors(match),
            revoked_ms=int(match["revoked_ms"]) if match["revoked_ms"] else None,
            **_known_of_ek(match),
        )
    except ValueError as error:
        raise _body_error(f"a field in it is {error}") from None
    if statement.valid_from_ms >= statement.valid_until_ms:
        raise _body_error("its validity ends before it begins")
    return statement


def parse_trust(data: bytes) -> SignedTrust:
    """A trust file: the note over a trust body with one signature line, the enroller's.

    Raises FormatError as ``parse_note`` and ``parse_trust_body`` do, and ``TRUST_SIGNER`` where
    the line names another signer or key than the text.
    """
    body, signatures = parse_note(data)
    statement = parse_trust_body(body)
    line = signatures[0]
    if len(signatures) != 1 or (line.name, line.key_id) != (
        statement.enroller,
        statement.key_id(),
    ):
        raise FormatError(
            "TRUST_SIGNER",
            f"the trust file is not signed by {statement.enroller} alone, whom it names",
            remedy="fetch the trust file again from the enroller",
        )
    return SignedTrust(body, statement, line)


class _KnownOfEk(TypedDict, total=False):
    ek_certified: bool
    ek_root_sha256: bytes
    counter_index: int
    counter_name: bytes


def _known_of_ek(match: re.Match[str]) -> _KnownOfEk:
    """What version 2 says beyond version 1."""
    fields = match.groupdict()
    if "certified" not in fields:
        return {}
    known: _KnownOfEk = {"ek_certified": fields["certified"] is not None}
    if root := fields["ek_root_sha256"]:
        known["ek_root_sha256"] = bytes.fromhex(root)
    if index := fields["counter_index"]:
        known["counter_index"] = int(index, 16)
        known["counter_name"] = bytes.fromhex(fields["counter_name"])
    return known


def _floors(match: re.Match[str]) -> Floors | None:
    if match["size"] is None:
        return None
    return Floors(
        size=int(match["size"]),
        root=decode_base64(match["root"]),
        clock_ms=int(match["clock_ms"]),
        resets=int(match["resets"]),
        counter=int(match["counter"]),
    )


def _body_error(what: str) -> FormatError:
    return FormatError(
        "TRUST_BODY",
        f"not a trust file: {what}",
        remedy="fetch the trust file again from the enroller",
    )
