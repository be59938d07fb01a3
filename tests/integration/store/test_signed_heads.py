"""The chain of heads with a real (software) TPM behind it, in its own process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from swt3_agent.protocol.canonical import canonical_json
from swt3_agent.protocol.checkpoint import (
    QUOTED_PCRS,
    extended,
    parse_quote_signature,
    parse_signed_note,
    qualifying_data,
)
from swt3_agent.protocol.record import Kind
from swt3_agent.store.catalogue import Catalogue
from swt3_agent.store.fsck import check
from swt3_agent.store.heads import HeadKeeper, HeadRecord
from swt3_agent.store.journal import Draft, Journal
from swt3_agent.store.state import StateDirectory
from swt3_agent.tcg.attest import parse_attest
from swt3_agent.tcg.public import parse_public
from swt3_agent.tpm.client import Tpm
from swt3_agent.tpm.software import SoftwareTpm
from tests.support.software_tpm import manufacture, short_directory, start_copy

LOG_PCR = 13


@pytest.fixture
def swtpm() -> Iterator[SoftwareTpm]:
    with (
        short_directory() as directory,
        start_copy(manufacture(directory / "made"), directory / "tpm") as software_tpm,
    ):
        yield software_tpm


def run_agent(root: Path, tpm: Tpm, heads: int) -> tuple[list[str], list[HeadRecord]]:
    """One run of an agent: recovery, boot record, then some heads."""
    with (
        Journal.open(root / "journal", root / "keys") as journal,
        Catalogue.open(root / "catalogue.db", journal) as catalogue,
    ):
        keeper = HeadKeeper(
            journal,
            catalogue,
            tpm,
            node_id="ab" * 16,
            log_id="cd" * 8,
            boot_id="boot-1",
            log_pcr=LOG_PCR,
        )
        findings = [finding.code for finding in keeper.recover()]
        value = tpm.read_pcrs((LOG_PCR,))[LOG_PCR].hex()
        boot = {"boot_id": "boot-1", "log_pcr": {"index": LOG_PCR, "value": value}}
        made = []
        for number in range(heads):
            draft = Draft(Kind.BOOT, b'{"listener":"agent"}', canonical_json(boot))
            if number:
                draft = Draft(Kind.RELAYED, b"{}", b"%d" % number)
            journal.append([draft]).result()
            head = keeper.checkpoint("test")
            assert head is not None
            assert head.note.root == journal.root(head.note.size)
            made.append(head)
        return findings, made


def test_heads_of_two_runs_are_one_chain_that_the_key_signed(
    tmp_path: Path, swtpm: SoftwareTpm
) -> None:
    StateDirectory.open(tmp_path).close()
    heads: list[HeadRecord] = []
    for _ in range(2):
        with Tpm(swtpm.tcti, tmp_path / "keys", quoted_pcrs=QUOTED_PCRS) as tpm:
            spki = parse_public(tpm.open().ak_public).spki_der()
            findings, made = run_agent(tmp_path, tpm, 3)
            assert findings == []
            heads += made
    key = load_der_public_key(spki)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    value, previous = bytes(32), bytes(32)
    for head in heads:
        assert head.quote is not None
        signed = parse_signed_note(head.quote.signed_note)
        line = signed.signature_of(spki)
        assert line is not None
        quote = parse_quote_signature(line.signature)
        key.verify(quote.signature_der, quote.attest, ec.ECDSA(SHA256()))
        assert parse_attest(quote.attest).extra_data == qualifying_data(signed.body)
        assert (head.quote.before, head.note.previous) == (value, previous)
        value, previous = extended(value, signed.body), head.note.digest()
        assert head.quote.pcrs[LOG_PCR] == value
    assert check(tmp_path) == []
