"""Heads and challenges: what the TPM quotes (docs/formats.md, "What a signed head proves").

An extend is never repeated: the log PCR tells whether it has happened.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from tpm2_pytss import ESYS_TR, TSS2_Exception

from swt3_agent.errors import TpmError
from swt3_agent.protocol.checkpoint import extended, qualifying_data
from swt3_agent.tpm import commands
from swt3_agent.tpm.connection import is_lost
from swt3_agent.tpm.link import Link, Live
from swt3_agent.tpm.messages import ChallengeQuote, SignedHead


@dataclass(frozen=True, slots=True)
class Quotes:
    """Quotes ``quoted_pcrs``, one of which, ``log_pcr``, chains the heads."""

    link: Link
    log_pcr: int
    quoted_pcrs: tuple[int, ...]

    def challenge(self, nonce: bytes, also: Iterable[int] = ()) -> ChallengeQuote:
        quoted = self.quote(nonce, also)
        return ChallengeQuote(*quoted, ak_public=self.link.ak)

    def quote(self, nonce: bytes, also: Iterable[int] = ()) -> commands.Quote:
        """Quote the registers, and those in ``also``, over ``nonce``."""
        indices = tuple(sorted({*self.quoted_pcrs, *also}))

        def attempt(live: Live) -> commands.Quote:
            with live.session() as session:
                return commands.quote(live.esapi, session, live.key, indices, nonce)

        return self.link.use(attempt)

    def extend_and_quote(self, body: bytes) -> SignedHead:
        before = self._read_log_pcr()
        try:
            live = self.link.live()
            with live.session() as session:
                commands.extend_pcr(
                    live.esapi, session, self.log_pcr, hashlib.sha256(body).digest()
                )
                return self._head(live, session, body, before)
        except TSS2_Exception as error:
            if not is_lost(error):
                raise
        self.link.reconnect()
        if self._read_log_pcr() == before:
            raise TpmError(
                "TPM_FAILED",
                "the connection to the TPM broke; the log PCR was not extended",
                remedy="make the checkpoint again",
            )
        return self.quote_head(body, before)

    def quote_head(self, body: bytes, before: bytes) -> SignedHead:
        def attempt(live: Live) -> SignedHead:
            with live.session() as session:
                return self._head(live, session, body, before)

        return self.link.use(attempt)

    def _head(self, live: Live, session: ESYS_TR, body: bytes, before: bytes) -> SignedHead:
        """Quote a note whose extend is done; the log PCR must show just that extend."""
        quote = commands.quote(
            live.esapi, session, live.key, self.quoted_pcrs, qualifying_data(body)
        )
        if quote.pcrs[self.log_pcr] != extended(before, body):
            raise TpmError(
                "TPM_LOG_PCR",
                f"PCR {self.log_pcr} does not hold this checkpoint on top of the one before: "
                "something else extended it, or the TPM was reset",
                remedy="find what uses this PCR beside the agent, or give the log another one",
            )
        return SignedHead(quote.attest, quote.signature_der, before, quote.pcrs)

    def _read_log_pcr(self) -> bytes:
        def read(live: Live) -> bytes:
            return commands.read_pcrs(live.esapi, (self.log_pcr,))[self.log_pcr]

        return self.link.use(read)
