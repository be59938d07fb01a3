"""Attestation keys at rest: blobs that only their TPM opens (docs/formats.md, "State").

``ak.json`` holds the key that signs, ``ak.next.json`` its prepared successor,
``ak.<16 hex digits>.json`` an earlier key. Which of them is to sign the log says; a blob is found
by its public area, whatever its file.
"""

import hashlib
from pathlib import Path

import msgspec

from swt3_agent.errors import FormatError, TpmError
from swt3_agent.tcg.public import parse_public
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.private_files import (
    not_stored,
    read_private,
    sync_directory,
    write_private,
)

BLOB_NAME = "ak.json"
NEXT_NAME = "ak.next.json"
MAX_BLOB = 16 * 1024
BLOB_FORMAT = "swt3-agent/ak/2"
NEXT_FORMAT = "swt3-agent/ak-successor/1"

_WITHOUT_DIGEST = "swt3-agent/ak/1"
_EARLIER = "ak.[0-9a-f]*.json"


class KeyBlob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``public`` and ``private`` are TPM2B structures, ``parent_template`` the TPM2B_PUBLIC that
    recreates the storage primary, ``parent_name`` the Name it must then have. ``digest`` tells a
    damaged blob from one that its TPM no longer opens; version 1 has none."""

    format: str
    public: bytes
    private: bytes
    parent_template: bytes
    parent_name: bytes
    digest: bytes = b""

    @property
    def tpmt(self) -> bytes:
        """The TPMT_PUBLIC of the key. Raises FormatError."""
        return parse_public(self.public).tpmt


class NextKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that is to sign, and the certification by the one that signs now (its Name,
    TPMS_ATTEST and DER signature) for the log ``log_id``; all empty for a replacement of a lost
    key, which nothing certifies."""

    format: str
    key: KeyBlob
    log_id: str = ""
    certified_by: bytes = b""
    attest: bytes = b""
    signature: bytes = b""


def blob_of(public: bytes, private: bytes, parent_template: bytes, parent_name: bytes) -> KeyBlob:
    """A blob to be stored; the structures are those of ``KeyBlob``."""
    digest = _digest(public, private, parent_template, parent_name)
    return KeyBlob(BLOB_FORMAT, public, private, parent_template, parent_name, digest)


def read_blob(keys_dir: Path) -> KeyBlob | None:
    """The key in ``ak.json``, None where there is none.

    Raises TpmError TPM_KEY_DAMAGED, or TPM_KEY_UNREADABLE.
    """
    return _read_blob(keys_dir / BLOB_NAME)


def find_blob(keys_dir: Path, ak: bytes) -> KeyBlob | None:
    """The blob of this key (TPMT_PUBLIC), in whichever file it lies; None where it is in none.

    Raises TpmError TPM_KEY_DAMAGED where it is not found and a file is damaged; TPM_KEY_UNREADABLE.
    """
    damage: TpmError | None = None
    for path in blob_paths(keys_dir):
        try:
            blob = _blob_in(path)
        except TpmError as error:
            if error.code == "TPM_KEY_UNREADABLE":
                raise
            damage = damage or error
            continue
        if blob is not None and blob.tpmt == ak:
            return blob
    if damage is not None:
        raise damage
    return None


def blob_paths(keys_dir: Path) -> list[Path]:
    """Every file that may hold a key: the one that signs, its successor, earlier ones."""
    return [keys_dir / BLOB_NAME, keys_dir / NEXT_NAME, *sorted(keys_dir.glob(_EARLIER))]


def earlier_path(keys_dir: Path, name: bytes) -> Path:
    """Where the blob of an earlier key with this Name (nameAlg ‖ digest) is kept."""
    return keys_dir / f"ak.{name.hex()[4:20]}.json"


def read_next(keys_dir: Path) -> NextKey | None:
    """The prepared successor; None where there is none that is whole."""
    try:
        stored = msgspec.json.decode(read_private(keys_dir / NEXT_NAME, 2 * MAX_BLOB), type=NextKey)
        _check_blob(stored.key, keys_dir / NEXT_NAME)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise key_faults.unreadable(str(keys_dir / NEXT_NAME), str(error.strerror)) from error
    except (ValueError, TpmError):
        return None
    return stored if stored.format == NEXT_FORMAT else None


def write_blob(keys_dir: Path, blob: KeyBlob) -> None:
    """Store the key that signs, durably; a crash leaves the old file or the new one."""
    write_private(keys_dir / BLOB_NAME, _encode(blob))


def write_next(keys_dir: Path, successor: NextKey) -> None:
    """Store a successor, durably, in place of another one that was not adopted."""
    write_private(keys_dir / NEXT_NAME, _encode(successor))


def install_next(keys_dir: Path) -> None:
    """Put the successor into the place of the key that signs, which is kept under its own name.

    Both are found by their public areas at every moment, so that a crash in between is harmless.
    """
    successor = read_next(keys_dir)
    if successor is None:
        return
    try:
        present = _blob_in(keys_dir / BLOB_NAME)
    except TpmError:  # damaged: kept for whoever can mend it
        (keys_dir / BLOB_NAME).replace(keys_dir / f"{BLOB_NAME}.damaged")
        present = None
    if present is not None and present.tpmt != successor.key.tpmt:
        name = parse_public(present.public).name()
        write_private(earlier_path(keys_dir, name), _encode(present))
    write_blob(keys_dir, successor.key)
    (keys_dir / NEXT_NAME).unlink(missing_ok=True)
    sync_directory(keys_dir)


def remove_earlier(keys_dir: Path, name: bytes) -> bool:
    """Remove the blob of an earlier key, which then signs no more; whether there was one.

    Raises TpmError TPM_KEY_NOT_STORED where it cannot be removed.
    """
    path = earlier_path(keys_dir, name)
    try:
        path.unlink()
        sync_directory(keys_dir)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise not_stored(path, error) from error
    return True


def _blob_in(path: Path) -> KeyBlob | None:
    if path.name != NEXT_NAME:
        return _read_blob(path)
    successor = read_next(path.parent)
    return None if successor is None else successor.key


def _read_blob(path: Path) -> KeyBlob | None:
    try:
        blob = msgspec.json.decode(read_private(path, MAX_BLOB), type=KeyBlob)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise key_faults.unreadable(str(path), str(error.strerror)) from error
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise key_faults.damaged(f"{path}: {error}") from error
    _check_blob(blob, path)
    return blob


def _check_blob(blob: KeyBlob, path: Path) -> None:
    if blob.format not in (BLOB_FORMAT, _WITHOUT_DIGEST):
        raise key_faults.damaged(f"{path} has the unknown format {blob.format!r}")
    digest = _digest(blob.public, blob.private, blob.parent_template, blob.parent_name)
    if blob.format == BLOB_FORMAT and blob.digest != digest:
        raise key_faults.damaged(f"{path} does not match its own digest")
    try:
        parse_public(blob.public)
    except FormatError as error:
        raise key_faults.damaged(f"the public area in {path}: {error}") from error


def _digest(*parts: bytes) -> bytes:
    sized = (len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.sha256(b"".join(sized)).digest()


def _encode(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"
