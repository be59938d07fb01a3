"""Trust files: whose signed word says which key speaks for a node (docs/formats.md, "Trust file").

Credential activation, which ties an AK to a TPM, cannot be replayed offline. Who did not take part
in it trusts the enroller's signature instead, and the verifier says so. The text of the note:

    swt3-agent/trust/1
    enroller <name> <base64 Ed25519 public key>
    node <node_id>
    log <log_id>
    ak <base64 TPMT_PUBLIC>
    tpm hardware|software
    log-pcr <index>
    valid <from, UTC ms> <until, UTC ms>
    ek sha256:<hex SHA-256 of the EK's SubjectPublicKeyInfo>                        (optional)
    floor size=<n> root=<base64> clock=<ms> resets=<n> counter=<n>                  (optional)
    revoked <UTC ms>                                                                (optional)
"""

import re
from dataclasses import dataclass
from enum import Enum

from swt3_agent.errors import FormatError
from swt3_agent.protocol.note import (
    ED25519_TYPE,
    NoteSignature,
    decode_base64,
    encode_base64,
    key_id,
    parse_note,
)

TRUST_FORMAT = "swt3-agent/trust/1"

_NUMBER = r"(?:0|[1-9][0-9]{0,19})"
_BODY = re.compile(
    re.escape(TRUST_FORMAT) + "\n"
    r"enroller (?P<enroller>[!-*,-~]{1,128}) (?P<enroller_key>[A-Za-z0-9+/]{43}=)\n"
    r"node (?P<node_id>[0-9a-f]{32})\n"
    r"log (?P<log_id>[0-9a-f]{16,64})\n"
    r"ak (?P<ak_public>[A-Za-z0-9+/=]{4,2048})\n"
    r"tpm (?P<tpm>hardware|software)\n"
    rf"log-pcr (?P<log_pcr>{_NUMBER})\n"
    rf"valid (?P<valid_from_ms>{_NUMBER}) (?P<valid_until_ms>{_NUMBER})\n"
    r"(?:ek sha256:(?P<ek_sha256>[0-9a-f]{64})\n)?"
    rf"(?:floor size=(?P<size>{_NUMBER}) root=(?P<root>[A-Za-z0-9+/]{{43}}=)"
    rf" clock=(?P<clock_ms>{_NUMBER}) resets=(?P<resets>{_NUMBER})"
    rf" counter=(?P<counter>{_NUMBER})\n)?"
    rf"(?:revoked (?P<revoked_ms>{_NUMBER})\n)?"
)


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

    def body(self) -> bytes:
        """The signed text. Raises FormatError ``TRUST_BODY`` where a field does not fit it."""
        lines = [
            TRUST_FORMAT,
            f"enroller {self.enroller} {encode_base64(self.enroller_key)}",
            f"node {self.node_id}",
            f"log {self.log_id}",
            f"ak {encode_base64(self.ak_public)}",
            f"tpm {self.tpm.value}",
            f"log-pcr {self.log_pcr}",
            f"valid {self.valid_from_ms} {self.valid_until_ms}",
        ]
        if self.ek_sha256 is not None:
            lines.append(f"ek sha256:{self.ek_sha256.hex()}")
        if (floors := self.floors) is not None:
            lines.append(
                f"floor size={floors.size} root={encode_base64(floors.root)}"
                f" clock={floors.clock_ms} resets={floors.resets} counter={floors.counter}"
            )
        if self.revoked_ms is not None:
            lines.append(f"revoked {self.revoked_ms}")
        body = "".join(f"{line}\n" for line in lines).encode()
        parse_trust_body(body)
        return body

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
    if not body.startswith(TRUST_FORMAT.encode() + b"\n"):
        raise FormatError(
            "TRUST_FORMAT_UNKNOWN",
            f"the file does not begin with {TRUST_FORMAT}, so that it cannot be read as a trust"
            " file",
            remedy="give the trust file that the enroller made, or a verifier that knows it",
        )
    try:
        match = _BODY.fullmatch(body.decode("ascii"))
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
