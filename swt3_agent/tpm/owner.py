"""The TPM as the child keeps it: its connection, its attestation key, and what may be repeated.

One I/O error ruins a connection for good: then it is made anew, and what can be repeated without
harm is repeated once. An extend is never repeated: the log PCR tells whether it has happened.
"""

import hashlib
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tpm2_pytss import ESAPI, ESYS_TR, TSS2_Exception

from swt3_agent.errors import FormatError, TpmError
from swt3_agent.protocol.checkpoint import extended, qualifying_data
from swt3_agent.tpm import commands
from swt3_agent.tpm.attestation_key import LoadedKey, create_key, load_key
from swt3_agent.tpm.connection import connect, explain, is_lost, read_properties, salted_session
from swt3_agent.tpm.key_files import (
    create_auth,
    read_auth,
    read_blob,
    retire_blob,
    unusable,
    write_blob,
)
from swt3_agent.tpm.messages import (
    Challenge,
    ChallengeQuote,
    ClockInfo,
    ExtendAndQuote,
    Open,
    QuoteHead,
    ReadClock,
    ReadPcrs,
    Request,
    SignedHead,
    TpmIdentity,
)
from swt3_agent.tpm.reach import DEFAULT_TCTI

PROOF_NONCE_SIZE = 16

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Live:
    """A connection that works, with the key loaded through it."""

    esapi: ESAPI
    key: LoadedKey

    def session(self) -> AbstractContextManager[ESYS_TR]:
        return salted_session(self.esapi, self.key.parent)


class Owner:
    """Answers one request after the other; ``client.Tpm`` documents what each means."""

    def __init__(self, request: Open) -> None:
        self._tcti = request.tcti or DEFAULT_TCTI
        self._keys_dir = Path(request.keys_dir)
        self._log_pcr = request.log_pcr
        self._quoted_pcrs = request.quoted_pcrs
        self._ak = request.expected_ak
        self._live: _Live | None = None

    def answer(self, request: Request) -> object:
        """Do what is asked. Raises ``TpmError``, whatever went wrong with the TPM."""
        try:
            match request:
                case Open(replace_ak=replace_ak):
                    return self.open(replace_ak=replace_ak)
                case ReadPcrs(indices=indices):
                    return self.read_pcrs(indices)
                case ExtendAndQuote(body=body):
                    return self.extend_and_quote(body)
                case QuoteHead(body=body, before=before):
                    return self.quote_head(body, before)
                case Challenge(nonce=nonce):
                    return self.challenge(nonce)
                case ReadClock():
                    return self.clock()
                case _:
                    raise TpmError("TPM_FAILED", "not answered yet", remedy="none")
        except TSS2_Exception as error:
            raise explain(error) from error
        except FormatError as error:
            raise TpmError(
                "TPM_FAILED",
                f"the TPM answered with a damaged structure: {error}",
                remedy="trust this TPM with nothing; look for what changes its answers",
            ) from error

    def open(self, *, replace_ak: bool) -> TpmIdentity:
        """Connect, load the key or create it where there is none, and prove that it signs."""
        esapi = connect(self._tcti)
        try:
            properties = read_properties(esapi)
            created = replace_ak or (not self._ak and read_blob(self._keys_dir) is None)
            if created:
                self._create_key(esapi)
            self._live = _Live(esapi, self._load_key(esapi))
        except BaseException:
            esapi.close()
            raise
        self._ak = self._live.key.public
        self._quote(secrets.token_bytes(PROOF_NONCE_SIZE))
        return TpmIdentity(
            kind=properties.kind(self._tcti),
            manufacturer=properties.manufacturer,
            vendor=properties.vendor,
            firmware=properties.firmware,
            ak_public=self._ak,
            ak_created=created,
        )

    def close(self) -> None:
        """Leave nothing of ours in the TPM."""
        live, self._live = self._live, None
        if live is not None:
            live.key.flush(live.esapi)
            live.esapi.close()

    def read_pcrs(self, indices: tuple[int, ...]) -> dict[int, bytes]:
        return self._repeatable(lambda live: commands.read_pcrs(live.esapi, indices))

    def clock(self) -> ClockInfo:
        return self._repeatable(lambda live: commands.read_clock(live.esapi))

    def challenge(self, nonce: bytes) -> ChallengeQuote:
        return ChallengeQuote(*self._quote(nonce), ak_public=self._ak)

    def extend_and_quote(self, body: bytes) -> SignedHead:
        before = self._read_log_pcr()
        try:
            live = self._live or self._connect()
            with live.session() as session:
                commands.extend_pcr(
                    live.esapi, session, self._log_pcr, hashlib.sha256(body).digest()
                )
                return self._head(live, session, body, before)
        except TSS2_Exception as error:
            if not is_lost(error):
                raise
        self._connect()
        if self._read_log_pcr() == before:
            raise TpmError(
                "TPM_FAILED",
                "the connection to the TPM broke; the log PCR was not extended",
                remedy="make the checkpoint again",
            )
        return self.quote_head(body, before)

    def quote_head(self, body: bytes, before: bytes) -> SignedHead:
        def attempt(live: _Live) -> SignedHead:
            with live.session() as session:
                return self._head(live, session, body, before)

        return self._repeatable(attempt)

    def _quote(self, nonce: bytes) -> commands.Quote:
        def attempt(live: _Live) -> commands.Quote:
            with live.session() as session:
                return commands.quote(live.esapi, session, live.key, self._quoted_pcrs, nonce)

        return self._repeatable(attempt)

    def _head(self, live: _Live, session: ESYS_TR, body: bytes, before: bytes) -> SignedHead:
        """Quote a note whose extend is done; the log PCR must show just that extend."""
        quote = commands.quote(
            live.esapi, session, live.key, self._quoted_pcrs, qualifying_data(body)
        )
        if quote.pcrs[self._log_pcr] != extended(before, body):
            raise TpmError(
                "TPM_LOG_PCR",
                f"PCR {self._log_pcr} does not hold this checkpoint on top of the one before: "
                "something else extended it, or the TPM was reset",
                remedy="find what uses this PCR beside the agent, or give the log another one",
            )
        return SignedHead(quote.attest, quote.signature_der, before, quote.pcrs)

    def _read_log_pcr(self) -> bytes:
        return self.read_pcrs((self._log_pcr,))[self._log_pcr]

    def _repeatable(self, call: Callable[[_Live], Result]) -> Result:
        """Run ``call``, and once more on a new connection when the old one turns out lost."""
        try:
            return call(self._live or self._connect())
        except TSS2_Exception as error:
            if not is_lost(error):
                raise
        return call(self._connect())

    def _connect(self) -> _Live:
        """A new connection with the same key; whatever is left of the old one goes."""
        self.close()
        esapi = connect(self._tcti)
        try:
            self._live = _Live(esapi, self._load_key(esapi))
        except BaseException:
            esapi.close()
            raise
        return self._live

    def _create_key(self, esapi: ESAPI) -> None:
        auth = read_auth(self._keys_dir) or create_auth(self._keys_dir)
        blob = create_key(esapi, auth)
        retire_blob(self._keys_dir)
        write_blob(self._keys_dir, blob)

    def _load_key(self, esapi: ESAPI) -> LoadedKey:
        blob, auth = read_blob(self._keys_dir), read_auth(self._keys_dir)
        if blob is None or auth is None:
            raise unusable(f"its {'blob' if blob is None else 'authValue'} is gone")
        key = load_key(esapi, blob, auth)
        if self._ak and key.public != self._ak:
            key.flush(esapi)
            raise unusable("another key lies in its place")
        return key
