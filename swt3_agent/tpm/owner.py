"""What the child answers: one operation for each request (``client.Tpm`` documents them)."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tpm2_pytss import TSS2_Exception

from swt3_agent.errors import FormatError, TpmError
from swt3_agent.tpm import commands, counter, endorsement, signing, succession
from swt3_agent.tpm.connection import explain
from swt3_agent.tpm.link import Link
from swt3_agent.tpm.messages import (
    MAX_MESSAGE,
    Activate,
    CertifyCounter,
    Challenge,
    ExtendAndQuote,
    IncrementCounter,
    Open,
    OpenCounter,
    PrepareSuccessor,
    QuoteHead,
    ReadClock,
    ReadEndorsementKey,
    ReadPcrs,
    Request,
    Sign,
    TpmIdentity,
)
from swt3_agent.tpm.quotes import Quotes
from swt3_agent.tpm.reach import DEFAULT_TCTI

PROOF_NONCE_SIZE = 16


class Owner:
    """Answers one request after the other."""

    def __init__(self, request: Open) -> None:
        self._link = Link(request.tcti or DEFAULT_TCTI, Path(request.keys_dir), request.expected_ak)
        self._quotes = Quotes(self._link, request.log_pcr, request.quoted_pcrs)
        self._parts = bytearray()
        link, quotes = self._link, self._quotes
        self._operations: Mapping[type, Callable[[Any], object]] = {
            Open: self._open,
            ReadPcrs: lambda it: link.use(lambda live: commands.read_pcrs(live.esapi, it.indices)),
            ReadClock: lambda _: link.use(lambda live: commands.read_clock(live.esapi)),
            ExtendAndQuote: lambda it: quotes.extend_and_quote(it.body),
            QuoteHead: lambda it: quotes.quote_head(it.body, it.before),
            Challenge: lambda it: quotes.challenge(it.nonce, it.also),
            ReadEndorsementKey: lambda it: link.use(
                lambda live: endorsement.read_endorsement_key(live, it.template)
            ),
            Activate: lambda it: link.use(
                lambda live: endorsement.activate(live, it.template, it.credential, it.secret)
            ),
            OpenCounter: lambda it: link.use(
                lambda live: counter.open_counter(live, it.index, define=it.define)
            ),
            CertifyCounter: lambda it: link.use(
                lambda live: counter.certify_counter(live, it.index, it.extra)
            ),
            IncrementCounter: lambda it: link.use_once(
                lambda live: counter.increment_counter(live, it.index)
            ),
            PrepareSuccessor: lambda it: link.use(
                lambda live: succession.prepare_successor(live, link.keys_dir, it.log_id)
            ),
            Sign: self._sign,
        }

    def answer(self, request: Request) -> object:
        """Do what is asked. Raises ``TpmError``, whatever went wrong with the TPM."""
        try:
            return self._operations[type(request)](request)
        except TSS2_Exception as error:
            raise explain(error) from error
        except FormatError as error:
            raise TpmError(
                "TPM_FAILED",
                f"the TPM answered with a damaged structure: {error}",
                remedy="trust this TPM with nothing; look for what changes its answers",
            ) from error

    def close(self) -> None:
        """Leave nothing of ours in the TPM."""
        self._link.close()

    def _open(self, request: Open) -> TpmIdentity:
        """Connect, load the key or create it where there is none, and prove that it signs."""
        properties, created = self._link.open(replace_ak=request.replace_ak)
        self._quotes.quote(secrets.token_bytes(PROOF_NONCE_SIZE))
        return TpmIdentity(
            kind=properties.kind(self._link.tcti),
            manufacturer=properties.manufacturer,
            vendor=properties.vendor,
            firmware=properties.firmware,
            ak_public=self._link.ak,
            ak_parent=self._link.ak_parent,
            ak_created=created,
        )

    def _sign(self, request: Sign) -> bytes | None:
        if len(self._parts) + len(request.part) > MAX_MESSAGE:
            self._parts.clear()
            raise TpmError("TPM_FAILED", "the message is too long", remedy="sign a digest of it")
        self._parts += request.part
        if not request.last:
            return None
        message = bytes(self._parts)
        self._parts.clear()
        return self._link.use(lambda live: signing.sign(live, message))
