"""Every code that the sources can end with, found in their syntax trees."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import swt3_agent

PACKAGE = Path(swt3_agent.__file__).parent
ROOT = PACKAGE.parent
_OF_READER = ("TRUNCATED", "OVERSIZED", "FIELD", "TRAILING")
"""What ``tcg.reader.Reader`` itself refuses, under the prefix that it was made with."""
_DIRECT = frozenset({"doubt", "Irregularity", "Reason"})
"""Calls that take a code first and raise nothing themselves."""


@dataclass
class Module:
    """One source file: ``makers`` are its functions that make an error of a code they are given,
    with the prefix that they put before it."""

    name: str
    tree: ast.Module
    makers: dict[str, str] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def imported(self) -> set[str]:
        return {module for module, _ in self.imports.values()}


def closure(entries: Iterable[str]) -> dict[str, Module]:
    """The modules ``entries``, and those of the package that they import, however far."""
    found: dict[str, Module] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found or (path := _path_of(name)) is None:
            continue
        found[name] = module = _module(name, ast.parse(path.read_text()))
        waiting += module.imported
    return found


def codes(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """Code to the modules in which it is raised or doubted."""
    found: dict[str, set[str]] = {}
    for module in modules.values():
        makers = module.makers | {
            local: modules[source].makers[name]
            for local, (source, name) in module.imports.items()
            if source in modules and name in modules[source].makers
        }
        for code in _codes_in(module.tree, makers):
            found.setdefault(code, set()).add(module.name)
    return found


def doubts(modules: Mapping[str, Module]) -> set[str]:
    """Codes with which an examination is in doubt outright, or by an irregularity that decides."""
    return {
        text
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and node.args and _is_doubt(node)
        for text in _texts(node.args[0])
    }


def _is_doubt(call: ast.Call) -> bool:
    decides = any(keyword.arg == "decides" for keyword in call.keywords)
    return _called(call) == "doubt" or (_called(call) == "Irregularity" and decides)


def reader_codes(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """The same for codes that are made through a ``Reader``: prefix and what did not fit."""
    found: dict[str, set[str]] = {}
    prefixes = {name: _prefixes(module) for name, module in modules.items()}
    for name, module in modules.items():
        near = {each for each in module.imported if each in modules}
        pairs: list[tuple[str, Iterable[str]]]
        pairs = [(prefix, _OF_READER) for prefix in prefixes[name]]
        own = prefixes[name] or {prefix for each in near for prefix in prefixes[each]}
        pairs += [(prefix, _failures(module)) for prefix in own]
        for each in near:
            if not prefixes[each]:
                pairs += [(prefix, _failures(modules[each])) for prefix in prefixes[name]]
        for prefix, suffixes in pairs:
            for suffix in suffixes:
                found.setdefault(f"{prefix}_{suffix}", set()).add(name)
    return found


def _path_of(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _module(name: str, tree: ast.Module) -> Module:
    module = Module(name, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("swt3_agent"):
            source = node.module or ""
            for alias in node.names:
                nested = f"{source}.{alias.name}"
                place = (nested, "") if _path_of(nested) else (source, alias.name)
                module.imports[alias.asname or alias.name] = place
        elif isinstance(node, ast.FunctionDef) and (prefix := _prefix_made(node)) is not None:
            module.makers[node.name] = prefix
    return module


def _prefix_made(function: ast.FunctionDef) -> str | None:
    """What ``function`` puts before its first text argument to make an error's code, if it does."""
    names = {argument.arg for argument in function.args.args}
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and _called(node).endswith("Error") and node.args):
            continue
        code = node.args[0]
        if isinstance(code, ast.Name) and code.id in names:
            return ""
        if isinstance(code, ast.JoinedStr) and len(code.values) == 2:
            text, value = code.values
            if isinstance(text, ast.Constant) and isinstance(value, ast.FormattedValue):
                return str(text.value)
    return None


def _codes_in(tree: ast.Module, makers: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = _called(node)
        if called in makers:
            yield from (makers[called] + text for text in _texts(node.args[0]))
        elif called.endswith("Error") or called in _DIRECT:
            yield from _texts(node.args[0])


def _texts(node: ast.expr) -> Iterator[str]:
    """The codes that an argument may be."""
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(text := node.value, str):
        yield from [text] if text.isupper() and " " not in text else []


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _prefixes(module: Module) -> set[str]:
    return {
        str(node.args[1].value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and _called(node) == "Reader"
        and len(node.args) == 2
        and isinstance(node.args[1], ast.Constant)
    }


def _failures(module: Module) -> set[str]:
    return {
        text
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _called(node) == "fail" and node.args
        for text in _texts(node.args[0])
    }
