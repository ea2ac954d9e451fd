"""Functions of this house copied into a program that stands alone: their text, what they call, and the imports that they need.

Modules are read, not imported: what runs weights is never loaded here.
"""
from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HOUSE = Path(__file__).parent.parent
OURS = ("models", "pipelines")


@dataclass(frozen=True)
class _Module:
    """The top-level names of a module: its definitions with their lines, what it takes from this house, and other imports."""

    definitions: dict[str, ast.stmt]
    lines: tuple[str, ...]
    ours: dict[str, tuple[str, str]]  # name -> (module, name there)
    others: dict[str, str]  # name -> import statement

    def text(self, name: str) -> str:
        """A definition as it is written, with its decorators and the comments right above it."""
        node = self.definitions[name]
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
        while first and self.lines[first - 1].startswith("#"):
            first -= 1
        return "\n".join(self.lines[first : node.end_lineno])


@dataclass(frozen=True)
class Bundle:
    """imports: statements, sorted, one a line. body: the definitions, those that others need first."""

    imports: tuple[str, ...]
    body: str


def bundle(wanted: Sequence[tuple[str, str]]) -> Bundle:
    """Everything that these (module, name) need to run. Raises KeyError for a name that a module does not define, and ValueError when
    two modules mean different things by one name."""
    order: list[str] = []
    taken: dict[str, set[str]] = {}
    owner: dict[str, str] = {}
    imports: set[str] = set()

    def take(module: str, name: str) -> None:
        if name in taken.get(module, ()):
            return
        found = _read(module)
        definition = found.definitions[name]
        if owner.setdefault(name, module) != module:
            raise ValueError(f"{module} and {owner[name]} both define {name}")
        taken.setdefault(module, set()).add(name)
        for used in _names(definition):
            if used in found.ours:
                take(*found.ours[used])
            elif used in found.definitions:
                take(module, used)
            elif used in found.others:
                imports.add(found.others[used])
        if module not in order:  # after those that it needs
            order.append(module)

    for module, name in wanted:
        take(module, name)
    pieces = []
    for module in order:
        found = _read(module)
        nodes = {id(node): (name, node) for name, node in found.definitions.items() if name in taken[module]}  # a, b = 1, 2 is one
        pieces += [(found.text(name), isinstance(node, ast.Assign | ast.AnnAssign)) for name, node in nodes.values()]
    return Bundle(tuple(sorted(imports)), _joined(pieces))


def _joined(pieces: Sequence[tuple[str, bool]]) -> str:
    """Two empty lines between definitions, none between constants."""
    body = ""
    for place, (text, constant) in enumerate(pieces):
        body += ("" if place == 0 else "\n" if constant and pieces[place - 1][1] else "\n\n\n") + text
    return body


def _names(node: ast.AST) -> list[str]:
    """Names from outside that a definition uses, in order: what a function binds itself is its own."""
    if isinstance(node, ast.ClassDef):
        parts = [*node.decorator_list, *node.bases, *node.body]
        return list(dict.fromkeys(name for part in parts for name in _names(part)))
    bound: set[str] = set()
    if isinstance(node, ast.FunctionDef):
        bound = {found.arg for found in ast.walk(node) if isinstance(found, ast.arg)}
        bound |= {found.id for found in ast.walk(node) if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Store)}
    used = [found.id for found in ast.walk(node) if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Load)]
    return [name for name in dict.fromkeys(used) if name not in bound]


@lru_cache(maxsize=16)
def _read(module: str) -> _Module:
    text = HOUSE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    definitions: dict[str, ast.stmt] = {}
    ours: dict[str, tuple[str, str]] = {}
    others: dict[str, str] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for found in ast.walk(target):
                    if isinstance(found, ast.Name):
                        definitions[found.id] = node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            ours |= {alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            others |= {alias.asname or alias.name: f"from {node.module} import {_alias(alias)}" for alias in node.names}
        elif isinstance(node, ast.Import):
            others |= {(alias.asname or alias.name).split(".")[0]: f"import {_alias(alias)}" for alias in node.names}
    return _Module(definitions, tuple(text.split("\n")), ours, others)


def _alias(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name
