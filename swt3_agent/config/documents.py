"""YAML as a configuration may be written: strict, bounded, and quoted in no error message."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from swt3_agent.errors import ConfigError

Document = dict[str, Any]

MAX_FILE_BYTES = 1 << 20
_MAX_KEY = 128  # characters


def read_document(path: Path) -> Document:
    """The mapping in the YAML file at ``path``; an empty file is an empty one.

    Raises ConfigError CONFIG_UNREADABLE, CONFIG_TOO_LARGE, CONFIG_SYNTAX or CONFIG_VALUE.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            "CONFIG_UNREADABLE",
            f"{path} cannot be read: {error.strerror}",
            remedy="check the path and its permissions",
        ) from error
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(
            "CONFIG_TOO_LARGE",
            f"{path} is larger than {MAX_FILE_BYTES} bytes",
            remedy="is it the right file? A configuration is a few hundred lines",
        )
    return parse_document(text, str(path))


def is_there(path: Path) -> bool:
    """Whether there is anything at ``path``; what may not be looked at is taken to be there, so
    that reading it says why it cannot be read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def parse_document(text: bytes, source: str) -> Document:
    """The mapping that ``text`` is; errors name ``source`` and the line, and show none of it.

    Raises ConfigError CONFIG_SYNTAX or CONFIG_VALUE.
    """
    try:
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a SafeLoader of our own
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(
            "CONFIG_SYNTAX",
            f"{source} is not YAML: {_place(error)}",
            remedy="mend the line it names",
        ) from None  # the library's own text shows the line, and a secret may stand there
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(
            "CONFIG_VALUE", f"{source} is not a mapping", remedy="write `key: value` lines"
        )
    return document


class _Refused(yaml.MarkedYAMLError):
    """YAML that we do not take; its text is our own, and so safe to show."""


def _place(error: Exception) -> str:
    """Where ``error`` is and, as far as that shows nothing of the text, what."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, yaml.MarkedYAMLError):
        return "it is no UTF-8 text, or has a value that does not exist"
    mark = error.problem_mark or error.context_mark
    line = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    if isinstance(error, _Refused):
        return f"{line}{error.problem}"
    return f"{line}this is not how YAML is written"


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without three of YAML's traps: a key given twice (the library would keep the last
    in silence), aliases (a few of them expand to gigabytes) and tags (the library trips over a
    value that is not of its tag's form)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs lack it
        if self.check_event(yaml.AliasEvent):
            raise _Refused(None, None, "an alias is not allowed here", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _Refused(None, None, "a tag is not allowed here", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _Refused(None, None, "a key is not text", key_node.start_mark)
            if len(key) > _MAX_KEY or not key.isprintable():
                raise _Refused(None, None, "a key is no short name", key_node.start_mark)
            if key in seen:
                raise _Refused(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
