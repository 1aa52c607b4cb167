"""The keys of a tree of settings (dataclasses): what there is, what each means, and which one a mistyped key was meant to be.

An *option table* is a setting of type ``dict`` whose keys another dataclass defines, for example an agent's own settings.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union

from rlhf_games.core.errors import closest, did_you_mean, nearest

_NAMES: dict[Any, str] = {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path"}

OptionTables: typing.TypeAlias = Mapping[str, type]
"""Dataclasses that define the keys of option tables, by the table's dotted key."""


@dataclass(frozen=True)
class Setting:
    """One key, for people."""

    key: str
    """Dotted, from the root."""
    accepted: str
    """Its type in words; empty for a table of settings, which follow."""
    default: Any
    """``dataclasses.MISSING`` where it must be set, and for tables."""
    meaning: str
    """The field's documentation (a table's: the one of its dataclass, where the field has none)."""


def settings(root: type, options: OptionTables | None = None, key: str = "") -> Iterator[Setting]:
    """All settings of the dataclass ``root``, each table before what is in it.

    Args:
      root: the dataclass.
      options: what defines option tables; these follow their table's own entry.
      key: dotted key of ``root`` itself; empty for the root of the tree.
    """
    hints, meanings = typing.get_type_hints(root), field_docs(root)
    for entry in _given(root):
        full = join(key, entry.name)
        inner = (options or {}).get(full) or next(iter(tables(hints[entry.name])), None)
        alone = inner is None or not is_dataclass(hints[entry.name])
        meaning = meanings.get(entry.name, "") or _first_line(inner)
        yield Setting(full, accepted(hints[entry.name]) if alone else "", _default(entry) if alone else MISSING, meaning)
        if inner is not None:
            yield from settings(inner, options, full)


def keys(root: type, options: OptionTables | None = None) -> list[str]:
    """The dotted keys of all settings of ``root``, tables included."""
    return [setting.key for setting in settings(root, options)]


def meant(root: type, options: OptionTables, table: str, name: str, known: Iterable[str]) -> str:
    """What a person who wrote ``name`` in ``table`` may have meant, as full keys that exist.

    Args:
      root: the dataclass at the root of the tree.
      options: see `settings`.
      table: dotted key of the table.
      name: the key in it that does not exist.
      known: the keys in it that do.

    Returns:
      A hint to be put behind a message: a likely key, several where the name is in several tables, or the table's own keys.
    """
    elsewhere: dict[str, list[str]] = {}
    for key in keys(root, options):
        elsewhere.setdefault(key.rpartition(".")[2], []).append(key)
    known = list(known)
    if name not in elsewhere and (close := closest(name, known)):
        return did_you_mean(join(table, close))
    if leaf := closest(name, elsewhere):
        return did_you_mean(*_nearest_tables(table, elsewhere[leaf]))
    if longer := [key for leaf, found in elsewhere.items() if name in leaf.split("_") for key in found]:
        return did_you_mean(*_nearest_tables(table, longer))
    return nearest("", (join(table, other) for other in known))


def _nearest_tables(table: str, found: list[str]) -> list[str]:
    """Those of the keys that share most of their tables with ``table``."""

    def shared(key: str) -> int:
        both = zip(table.split("."), key.split("."), strict=False)
        return next((depth for depth, (one, other) in enumerate(both) if one != other), len(table.split(".")))

    most = max(map(shared, found))
    return [key for key in found if shared(key) == most]


def tables(hint: Any) -> list[type]:
    """The dataclasses that a setting of this type may be."""
    if typing.get_origin(hint) in (Union, types.UnionType, typing.Annotated):
        return [found for arm in typing.get_args(hint) for found in tables(arm)]
    return [hint] if is_dataclass(hint) and isinstance(hint, type) else []


def accepted(hint: Any) -> str:
    """A type in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in args)
    if origin in (Union, types.UnionType):
        return " or ".join(accepted(arm) for arm in args)
    if origin is typing.Annotated:
        return accepted(args[0])
    if hint is type(None):
        return '"none"'
    if origin in (tuple, list):
        return "a list"
    if hint in _NAMES:
        return _NAMES[hint]
    return f"a table of {hint.__name__} settings" if is_dataclass(hint) and isinstance(hint, type) else "a table"


@lru_cache(maxsize=64)
def field_docs(cls: type) -> Mapping[str, str]:
    """The texts that stand below the fields of a class in its source, in one line each; of base classes too."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError, SyntaxError, ValueError):  # made at run time
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for entry, below in pairwise(body):
            if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name) and (text := _literal_text(below)):
                found[entry.target.id] = " ".join(text.split())
    return found


def _literal_text(node: ast.stmt) -> str:
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _first_line(cls: type | None) -> str:
    return "" if cls is None else (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")


def _given(cls: type) -> list[Field[Any]]:
    return [entry for entry in fields(typing.cast(Any, cls)) if entry.init]


def _default(entry: Field[Any]) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def join(key: str, name: str) -> str:
    """The dotted key of ``name`` in the table ``key``."""
    return f"{key}.{name}" if key else name
