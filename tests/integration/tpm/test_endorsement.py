"""Endorsement keys of a TPM, and secrets that only it opens, only beside our key."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swt3_agent.errors import TpmError
from swt3_agent.tcg.make_credential import Credential, make_credential
from swt3_agent.tcg.public import parse_key, parse_tpmt
from swt3_agent.tpm.client import EndorsementKey, Tpm
from swt3_agent.tpm.software import SoftwareTpm, start_software_tpm
from tests.integration.tpm.conftest import OpenTpm
from tests.support.software_tpm import tpm2

HANDLES = ("handles-transient", "handles-loaded-session", "handles-saved-session")
TEMPLATES = ("rsa2048", "ecc256", "ecc384")
SECRET = b"a secret of 32 bytes, not one mo"


def keys_of(tpm: Tpm) -> dict[str, EndorsementKey]:
    return {key.template: key for key in tpm.endorsement_keys()}


def credential_for(tpm: Tpm, template: str, *, name: bytes | None = None) -> Credential:
    ek = parse_key(keys_of(tpm)[template].public)
    own = parse_tpmt(tpm.open().ak_public).name()
    return make_credential(ek, own if name is None else name, SECRET)


def refusal(tpm: Tpm, template: str, credential: bytes, secret: bytes) -> str:
    with pytest.raises(TpmError) as caught:
        tpm.activate(template, credential, secret)
    assert caught.value.remedy
    return caught.value.code


def test_endorsement_keys_are_those_of_their_certificates(open_tpm: OpenTpm) -> None:
    found = keys_of(open_tpm())
    assert tuple(found) == TEMPLATES
    for template, index in (("rsa2048", 0x01C00002), ("ecc384", 0x01C00016)):
        key = found[template]
        assert (key.certificate_index, key.certificate is not None) == (index, True)
        certificate = x509.load_der_x509_certificate(key.certificate or b"")  # nothing pads it
        spki = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        assert spki == parse_key(key.public).spki_der()
    assert (found["ecc256"].certificate, found["ecc256"].certificate_index) == (None, None)


def test_endorsement_keys_are_those_that_the_tools_make(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    found = keys_of(open_tpm())
    for template, kind in (("rsa2048", "rsa"), ("ecc256", "ecc")):
        tool = ("createek", "-G", kind, "-c", str(room / "ek.ctx"), "-u", str(room / "ek.pub"))
        tpm2(swtpm.tcti, *tool)
        assert (room / "ek.pub").read_bytes()[2:] == found[template].public
        (room / "ek.ctx").unlink()
        tpm2(swtpm.tcti, "flushcontext", "-t")


def test_a_certificate_is_cut_at_its_length(
    open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path
) -> None:
    whole = keys_of(open_tpm())["rsa2048"].certificate
    assert whole is not None
    padded = room / "padded"
    padded.write_bytes(whole + b"\xff" * 300)
    index = "0x1c0000a"  # nothing lies there in this TPM
    attributes = "ownerread|ownerwrite|authread|authwrite|no_da"
    tpm2(swtpm.tcti, "nvdefine", index, "-C", "o", "-s", str(len(whole) + 300), "-a", attributes)
    assert keys_of(open_tpm())["ecc256"].certificate is None  # not written yet
    tpm2(swtpm.tcti, "nvwrite", index, "-C", "o", "-i", str(padded))
    found = keys_of(open_tpm())["ecc256"]
    assert (found.certificate, found.certificate_index) == (whole, 0x01C0000A)


@pytest.mark.parametrize("ek", TEMPLATES)
def test_a_secret_made_for_this_tpm_and_this_key_is_opened(open_tpm: OpenTpm, ek: str) -> None:
    tpm = open_tpm()
    made = credential_for(tpm, ek)
    assert tpm.activate(ek, made.id_object, made.encrypted_secret) == SECRET


@pytest.mark.parametrize("ek", TEMPLATES)
def test_a_secret_for_another_name_is_not_opened(open_tpm: OpenTpm, ek: str) -> None:
    tpm = open_tpm()
    other = credential_for(tpm, ek, name=b"\x00\x0b" + hashlib.sha256(b"other").digest())
    assert refusal(tpm, ek, other.id_object, other.encrypted_secret) == "TPM_CREDENTIAL"
    made = credential_for(tpm, ek)
    assert tpm.activate(ek, made.id_object, made.encrypted_secret) == SECRET


def test_a_secret_for_another_tpm_is_not_opened(open_tpm: OpenTpm, room: Path) -> None:
    tpm = open_tpm()
    name = parse_tpmt(tpm.open().ak_public).name()
    with (
        start_software_tpm(room / "other") as other,
        Tpm(other.tcti, room / "other-keys", quoted_pcrs=(13,)) as stranger,
    ):
        made = {key: credential_for(stranger, key, name=name) for key in TEMPLATES}
    for template, credential in made.items():
        code = refusal(tpm, template, credential.id_object, credential.encrypted_secret)
        assert code == "TPM_CREDENTIAL", template


@pytest.mark.parametrize("ek", TEMPLATES)
def test_damaged_credentials_are_refused_and_harm_nothing(open_tpm: OpenTpm, ek: str) -> None:
    tpm = open_tpm()
    made = credential_for(tpm, ek)
    damaged = [
        (b"", b""),
        (made.id_object[:-1], made.encrypted_secret),
        (made.id_object[:-1] + bytes([made.id_object[-1] ^ 1]), made.encrypted_secret),
        (made.id_object, made.encrypted_secret[:-1] + bytes([made.encrypted_secret[-1] ^ 1])),
        (made.id_object, b"\x5a" * len(made.encrypted_secret)),
        (bytes(16_000), made.encrypted_secret),
        (bytes(100_000), made.encrypted_secret),
        (made.id_object, bytes(30_000)),
    ]
    for credential, secret in damaged:
        assert refusal(tpm, ek, credential, secret) == "TPM_CREDENTIAL"
    assert tpm.activate(ek, made.id_object, made.encrypted_secret) == SECRET


def test_a_template_that_no_tpm_has_is_refused(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm = open_tpm()
    tpm2(swtpm.tcti, "nvundefine", "0x1c00016", "-C", "p")
    assert tuple(keys_of(tpm)) == ("rsa2048", "ecc256")
    assert refusal(tpm, "ecc384", b"x" * 40, b"y" * 40) == "TPM_NO_EK"


def test_nothing_stays_in_the_tpm(open_tpm: OpenTpm, swtpm: SoftwareTpm) -> None:
    tpm = open_tpm()
    made = {template: credential_for(tpm, template) for template in TEMPLATES}
    for _ in range(4):  # more than there are slots
        for template, credential in made.items():
            tpm.activate(template, credential.id_object, credential.encrypted_secret)
            refusal(tpm, template, os.urandom(40), os.urandom(len(credential.encrypted_secret)))
        tpm.endorsement_keys()
    tpm.close()
    for kind in HANDLES:
        assert tpm2(swtpm.tcti, "getcap", kind) == ""


def test_the_tools_open_what_we_make(open_tpm: OpenTpm, swtpm: SoftwareTpm, room: Path) -> None:
    """The other way round: our credential, their TPM2_ActivateCredential."""
    tpm2(swtpm.tcti, "createek", "-G", "rsa", "-c", str(room / "ek.ctx"), "-u", str(room / "ek"))
    tpm2(
        swtpm.tcti, "createak", "-C", str(room / "ek.ctx"), "-c", str(room / "ak.ctx"), "-G", "ecc",
        "-g", "sha256", "-s", "ecdsa", "-n", str(room / "ak.name"),
    )  # fmt: skip
    tpm2(swtpm.tcti, "flushcontext", "-t")
    ek = parse_key((room / "ek").read_bytes()[2:])
    made = make_credential(ek, (room / "ak.name").read_bytes(), SECRET)
    blob = b"".join(
        len(part).to_bytes(2, "big") + part for part in (made.id_object, made.encrypted_secret)
    )
    (room / "blob").write_bytes(bytes.fromhex("badcc0de00000001") + blob)
    command = (
        f"tpm2_startauthsession -T {swtpm.tcti} --policy-session -S s &&"
        f" tpm2_policysecret -T {swtpm.tcti} -S s -c e &&"
        f" tpm2_activatecredential -T {swtpm.tcti} -c ak.ctx -C ek.ctx -i blob -o out -P session:s"
    )
    subprocess.run(command, shell=True, check=True, cwd=room, capture_output=True, timeout=60)  # noqa: S602
    assert (room / "out").read_bytes() == SECRET
