"""The node's side of an enrolment: say who it is, and open what an enroller sealed to its TPM
(docs/formats.md, "Enrolment")."""

import platform
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from swt3_agent import __version__
from swt3_agent.daemon.node import Node
from swt3_agent.errors import FormatError, TpmError
from swt3_agent.protocol.checkpoint import parse_signed_note
from swt3_agent.protocol.enrolment import (
    ANSWER_FORMAT,
    REQUEST_FORMAT,
    Answer,
    AnswerQuote,
    Challenge,
    CounterEvidence,
    EnrolmentKey,
    HeadEvidence,
    Machine,
    Request,
    TpmClaim,
    activation_mac,
    counter_data,
    decode_file,
    encode_file,
    file_digest,
    quote_nonce,
)
from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.protocol.proof import Proof, QuoteContext
from swt3_agent.store.proofs import build_proof
from swt3_agent.tcg.public import parse_key, parse_public
from swt3_agent.tpm.client import Tpm, TpmIdentity

_PRODUCT = Path("/sys/class/dmi/id/product_name")
_MAX_TEXT = 128


def enrolment_request(node: Node) -> dict[str, Any]:
    """A request file, under a head made for it now.

    Raises TpmError where no TPM signs here or it gives out no endorsement key, JournalError.
    """
    tpm, identity = _tpm_of(node)
    keys = tpm.endorsement_keys()
    if not keys:
        raise TpmError(
            "TPM_NO_EK",
            "the TPM gives out no endorsement key",
            remedy="see that its endorsement hierarchy is enabled and has no authValue",
        )
    proof, context = _fresh_head(node)
    request = Request(
        format=REQUEST_FORMAT,
        node_id=node.node_id,
        log_id=node.log_id,
        agent=__version__,
        time_ms=time.time_ns() // 1_000_000,
        machine=Machine(hostname=_printable(platform.node()), product=_product()),
        tpm=TpmClaim(
            kind=identity.kind.value,
            manufacturer=_printable(identity.manufacturer),
            vendor=_printable(identity.vendor),
            firmware=_printable(identity.firmware),
        ),
        ak_public=context.ak_public,
        ak_parent=identity.ak_parent.hex(),
        endorsement_keys=[
            EnrolmentKey(template=key.template, public=key.public, certificate=key.certificate)
            for key in keys
        ],
        head=HeadEvidence(
            checkpoint=proof.note.decode(),
            log_pcr=context.log_pcr,
            before=context.before.hex(),
            pcrs=pcrs_text(context.pcrs),
        ),
        counter=_counter(node, tpm, proof),
    )
    data = encode_file(request)
    return {
        "request": data.decode(),
        "digest": file_digest(data),
        "node_id": node.node_id,
        "log_id": node.log_id,
        "ak_name": parse_public(context.ak_public).name().hex(),
        "root_of_trust": identity.kind.value,
        "endorsement_keys": [
            {
                "template": key.template,
                "sha256": sha256(parse_key(key.public).spki_der()).hexdigest(),
                "certified": key.certificate is not None,
            }
            for key in keys
        ],
    }


def enrolment_answer(node: Node, challenge: str) -> dict[str, Any]:
    """The answer to the challenge file ``challenge``: what the TPM opened never leaves as such.

    Raises FormatError ``ENROL_FILE``, ``ENROL_FORMAT_UNKNOWN``, ``ENROL_OTHER_NODE``,
    ``ACTIVATION_OTHER_NAME``, ``ACTIVATION_EK_MISMATCH``; TpmError, ``TPM_CREDENTIAL`` where the
    credential is for another TPM or key, or damaged.
    """
    data = challenge.encode()
    asked = decode_file(data, Challenge)
    tpm, identity = _tpm_of(node)
    ak_name = parse_public(identity.ak_public).name().hex()
    _check_ours(asked, node, ak_name)
    key = next((key for key in tpm.endorsement_keys() if key.template == asked.template), None)
    if key is None or sha256(parse_key(key.public).spki_der()).hexdigest() != asked.ek:
        raise FormatError(
            "ACTIVATION_EK_MISMATCH",
            f"the challenge is for an EK ({asked.template}) that this TPM does not have",
            remedy="make a new request on this node: its TPM is another than when it was made",
        )
    secret = tpm.activate(asked.template, asked.credential, asked.secret)
    digest = file_digest(data)
    activation = activation_mac(secret, asked.request, digest)
    quote = tpm.challenge(quote_nonce(digest, activation))
    answer = Answer(
        format=ANSWER_FORMAT,
        request=asked.request,
        challenge=digest,
        ak_name=ak_name,
        activation=activation,
        quote=AnswerQuote(
            attest=quote.attest, signature=quote.signature_der, pcrs=pcrs_text(quote.pcrs)
        ),
    )
    return {
        "answer": encode_file(answer).decode(),
        "challenge": digest,
        "request": asked.request,
        "ak_name": ak_name,
        "root_of_trust": identity.kind.value,
    }


def _check_ours(asked: Challenge, node: Node, ak_name: str) -> None:
    if asked.node_id != node.node_id:
        raise FormatError(
            "ENROL_OTHER_NODE",
            f"the challenge is for node {asked.node_id}, and this is {node.node_id}",
            remedy="answer it on the node that made the request",
        )
    if asked.ak_name != ak_name:
        raise FormatError(
            "ACTIVATION_OTHER_NAME",
            "the challenge is for another AK than this node signs with now",
            remedy="make a new request: the AK was replaced since",
        )


def _tpm_of(node: Node) -> tuple[Tpm, TpmIdentity]:
    node.reach_tpm()
    if node.tpm is None or node.tpm_identity is None:
        assert node.tpm_lack is not None  # noqa: S101  opening sets one or the other
        lack = node.tpm_lack
        raise TpmError(lack.code, lack.message, remedy=lack.remedy)  # one object keeps every trace
    return node.tpm, node.tpm_identity


def _fresh_head(node: Node) -> tuple[Proof, QuoteContext]:
    """The newest head, made now, and its quote: as the proof of the record before it has them."""
    newest = node.journal.size - 1
    node.checkpoint("enrol", covering=newest)
    proof = build_proof(node.journal, node.catalogue, newest)
    if proof.quote is None:
        raise TpmError(
            "TPM_FAILED", "the TPM did not sign the head for the request", remedy="try again"
        )
    return proof, proof.quote


def _counter(node: Node, tpm: Tpm, proof: Proof) -> CounterEvidence | None:
    """The gapless counter, certified after the head; None where none is kept.

    Raises TpmError: a trust file that names no counter would go on being valid without one.
    """
    index = node.config.counter_index
    if index is None:
        return None
    public = node.counter.public()
    certificate = tpm.certify_counter(index, counter_data(parse_signed_note(proof.note).body))
    return CounterEvidence(
        public=public, attest=certificate.attest, signature=certificate.signature_der
    )


def _product() -> str:
    try:
        return _printable(_PRODUCT.read_text(encoding="ascii", errors="replace").strip())
    except OSError:
        return ""


def _printable(text: str) -> str:
    """``text`` as the file may hold it: 128 characters of printable ASCII."""
    kept = "".join(each if " " <= each <= "~" else "?" for each in text)
    return kept[:_MAX_TEXT]
