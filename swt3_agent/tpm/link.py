"""The child's connection to the TPM with the attestation key loaded through it.

One I/O error ruins a connection for good: then it is made anew, and what can be repeated without
harm is repeated once.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tpm2_pytss import ESAPI, ESYS_TR, TSS2_Exception

from swt3_agent.errors import TpmError
from swt3_agent.tpm import key_faults
from swt3_agent.tpm.attestation_key import LoadedKey, create_key, load_key
from swt3_agent.tpm.auth_value import auth_for_new_key, read_auth
from swt3_agent.tpm.connection import Properties, connect, is_lost, read_properties, salted_session
from swt3_agent.tpm.key_files import (
    NEXT_FORMAT,
    NextKey,
    find_blob,
    install_next,
    read_blob,
    read_next,
    write_blob,
    write_next,
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Live:
    """A connection that works, with the key loaded through it."""

    esapi: ESAPI
    key: LoadedKey

    def session(
        self, *, hide_command: bool = False, hide_answer: bool = False
    ) -> AbstractContextManager[ESYS_TR]:
        """A session as of ``salted_session``, salted with the key's parent."""
        return salted_session(
            self.esapi, self.key.parent, hide_command=hide_command, hide_answer=hide_answer
        )


class Link:
    """``ak`` is the TPMT_PUBLIC of the key that must be found; empty: any, and one is created
    where there is none. ``ak_parent`` is the Name of what it hangs under, known once it is open."""

    def __init__(self, tcti: str, keys_dir: Path, expected_ak: bytes) -> None:
        self.tcti = tcti
        self.keys_dir = keys_dir
        self.ak = expected_ak
        self.ak_parent = b""
        self._live: Live | None = None

    def open(self, *, replace_ak: bool) -> tuple[Properties, bool]:
        """Connect and load the key; what the TPM is, and whether the key was made just now.

        A key that is made in place of a lost one lies beside it as its successor: the log must
        name it first.
        """
        self.close()
        esapi = connect(self.tcti)
        try:
            properties = read_properties(esapi)
            created = replace_ak or (not self.ak and read_blob(self.keys_dir) is None)
            if created:
                self._create(esapi, replace_ak)
            key = self._load(esapi)
        except BaseException:
            esapi.close()
            raise
        self._live, self.ak, self.ak_parent = Live(esapi, key), key.public, key.parent_name
        if not replace_ak:
            self._finish_adoption()
        return properties, created

    def use(self, call: Callable[[Live], Result]) -> Result:
        """Run ``call``, and once more on a new connection when the old one turns out lost."""
        try:
            return call(self.live())
        except TSS2_Exception as error:
            if not is_lost(error):
                raise
        return call(self.reconnect())

    def use_once(self, call: Callable[[Live], Result]) -> Result:
        """Run ``call``, which must not be repeated; whatever comes next has a connection anew."""
        try:
            return call(self.live())
        except TSS2_Exception as error:
            if is_lost(error):
                self.close()
            raise

    def live(self) -> Live:
        """The connection that is there, or a new one."""
        return self._live or self.reconnect()

    def reconnect(self) -> Live:
        """A new connection with the same key; whatever is left of the old one goes."""
        self.close()
        esapi = connect(self.tcti)
        try:
            self._live = Live(esapi, self._load(esapi))
        except BaseException:
            esapi.close()
            raise
        return self._live

    def close(self) -> None:
        """Leave nothing of ours in the TPM."""
        live, self._live = self._live, None
        if live is not None:
            live.key.flush(live.esapi)
            live.esapi.close()

    def _create(self, esapi: ESAPI, replace_ak: bool) -> None:
        blob = create_key(esapi, auth_for_new_key(self.keys_dir))
        if replace_ak:
            write_next(self.keys_dir, NextKey(NEXT_FORMAT, blob))
        else:
            write_blob(self.keys_dir, blob)
        self.ak = blob.tpmt

    def _load(self, esapi: ESAPI) -> LoadedKey:
        blob = find_blob(self.keys_dir, self.ak) if self.ak else read_blob(self.keys_dir)
        if blob is None:
            raise key_faults.gone(f"no file in {self.keys_dir} holds it")
        auth = read_auth(self.keys_dir)
        if auth is None:
            raise key_faults.auth_lost("its authValue is gone")
        return load_key(esapi, blob, auth)

    def _finish_adoption(self) -> None:
        """The log names a key that lies beside the one before: now it takes its place.

        It signs from where it is as well, so that a full disk is no reason not to.
        """
        with contextlib.suppress(TpmError, OSError):
            successor = read_next(self.keys_dir)
            if successor is not None and successor.key.tpmt == self.ak:
                install_next(self.keys_dir)
