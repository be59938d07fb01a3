"""Custody as it is configured: which shelf where, and for whom."""

from collections.abc import Sequence
from pathlib import Path

from swt3_agent.config.settings import CustodySettings
from swt3_agent.errors import ConfigError, FormatError, StateError
from swt3_agent.protocol.custodian import (
    MAX_PEM_BYTES,
    Recipient,
    generate_custodian,
    read_custodian_key,
    read_recipient,
)
from swt3_agent.store.custody.file_shelf import FileShelf
from swt3_agent.store.custody.keeper import Custody
from swt3_agent.store.custody.log_shelf import LogShelf, Source
from swt3_agent.store.custody.shelf import Shelf
from swt3_agent.store.durable import write_durably
from swt3_agent.store.state import Layout

LOG, FILES = "log", "files"


def open_custody(settings: CustodySettings, layout: Layout, source: Source) -> Custody:
    """Custody in the configured place, or in the state directory.

    Raises ConfigError for settings that cannot be meant and for recipients that cannot be read,
    StateError ``CUSTODY_KEY`` where the node's own key cannot be used.
    """
    primary = custody_directory(settings, layout)
    if settings.format == FILES:
        if settings.recipients:
            raise ConfigError(
                "CONFIG_VALUE",
                "agent.custody: format files is readable for everyone who may read the files",
                remedy="leave out recipients, or use format log, which is encrypted to them",
            )
        return Custody(FileShelf(primary), FileShelf(layout.custody_spool))
    if settings.format != LOG:
        raise ConfigError(
            "CONFIG_VALUE",
            f"agent.custody.format is {settings.format!r}",
            remedy="set it to log or files",
        )
    custodians = read_recipients(settings)
    recipients = custodians or (_own_recipient(custody_key_file(layout)),)

    def shelf(directory: Path) -> Shelf:
        return LogShelf(directory, recipients, source)

    ids = [custodian.key_id for custodian in custodians]
    return Custody(shelf(primary), shelf(layout.custody_spool), recipients=ids)


def custody_directory(settings: CustodySettings, layout: Layout) -> Path:
    """Where what clearing removed is kept while nothing fails."""
    return layout.custody if settings.path is None else Path(settings.path).absolute()


def custody_key_file(layout: Layout) -> Path:
    """The key of custody that has no recipients: only this node reads it."""
    return layout.keys / "custody.key"


def read_recipients(settings: CustodySettings) -> Sequence[Recipient]:
    """The custodians that are configured. Raises ConfigError naming the file."""
    recipients = []
    for name in settings.recipients:
        try:
            with Path(name).open("rb") as stream:
                recipients.append(read_recipient(stream.read(MAX_PEM_BYTES + 1)))
        except OSError as error:
            raise ConfigError(
                "CONFIG_VALUE",
                f"agent.custody.recipients: {name} cannot be read: {error.strerror}",
                remedy="give the path of a custodian's public key that the agent may read",
            ) from error
        except FormatError as error:
            raise ConfigError(
                "CONFIG_VALUE", f"agent.custody.recipients: {name}: {error}", remedy=error.remedy
            ) from error
    return tuple(recipients)


def _own_recipient(path: Path) -> Recipient:
    try:
        private = path.read_bytes()
    except FileNotFoundError:
        private, _ = generate_custodian()
        try:
            write_durably(path, private)
        except OSError as error:
            raise _key_error(path, error.strerror or str(error)) from error
    except OSError as error:
        raise _key_error(path, error.strerror or str(error)) from error
    try:
        return read_custodian_key(private).recipient
    except FormatError as error:
        raise _key_error(path, error.message) from error


def _key_error(path: Path, why: str) -> StateError:
    return StateError(
        "CUSTODY_KEY",
        f"the node's own custody key {path} cannot be used: {why}",
        remedy="restore it from a backup, or name recipients; what it sealed needs the old one",
    )
