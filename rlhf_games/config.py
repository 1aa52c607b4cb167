"""Settings: trees of frozen dataclasses read from TOML tables and ``--set`` arguments.

A field may be ``bool``, ``int``, ``float``, ``str``, ``Path``, ``Literal``, ``Any``, a dataclass, ``X | Y``, ``X | None``, ``tuple``,
``list`` or ``dict[str, X]``. An integer is accepted for a float, a bool is not accepted for a number. TOML has no null: the word
``"none"`` stands for None in a field that may be None.

Whatever a person gets wrong is a ``UserError`` that names the file, the full key, what was given and what is accepted.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from rlhf_games.config_keys import OptionTables, accepted, join, meant
from rlhf_games.core.errors import UserError, nearest
from rlhf_games.core.parse import parse_toml

T = TypeVar("T")
_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN: dict[Any, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (float, int), str: (str,), Path: (str, Path)}


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str) -> T:
    """Builds the dataclass ``cls`` from a nested mapping (a TOML table, JSON).

    Args:
      cls: a dataclass whose fields have the types that the module's docstring lists.
      mapping: values by field name; fields with a default may be absent.
      where: what error messages call the source, for example a file's path.

    Raises:
      UserError: a key is unknown or missing, or a value has the wrong type or is refused by the dataclass.
    """
    return _build(cls, mapping, "", _Source(where, cls))


def load_toml(
    cls: type[T],
    path: str | Path | None,
    overrides: Sequence[str] = (),
    options: Callable[[Mapping[str, Any]], OptionTables] | None = None,
) -> T:
    """Builds ``cls`` from a TOML file (None: from its defaults), with ``overrides`` as ``--set a.b=value`` gives them put on top.

    The last one of a key wins.

    Args:
      cls: a dataclass, see ``from_mapping``.
      path: of the file.
      overrides: texts ``KEY=VALUE``.
      options: given the whole table, names the dataclasses of settings that are plain tables in ``cls``; what stands there is checked too.

    Raises:
      UserError: the file cannot be read or is not TOML, an override is malformed, or as in ``from_mapping``.
    """
    table, given = merged(path, overrides)
    known = {} if options is None else options(table)
    source = _Source("the defaults" if path is None else str(path), cls, given, known)
    built = _build(cls, table, "", source)
    for key, kind in known.items():
        _build(kind, _at(table, key), key, source)
    return built


def merged(path: str | Path | None, overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The table of a TOML file with overrides put on top, and the text of each override by its dotted key; see ``load_toml``."""
    table = {} if path is None else read_toml(path)
    given: dict[str, str] = {}
    for text in overrides:
        keys, value = parse_set(text)
        _put(table, keys, value, text)
        given[".".join(keys)] = text
    return table, given


def read_toml(path: str | Path) -> dict[str, Any]:
    """Reads a TOML file. Raises ``UserError`` where it cannot be read or is not TOML."""
    try:
        return parse_toml(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a UTF-8 text: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # TOMLDecodeError, and integers of thousands of digits, and impossible paths
        raise UserError(f"{path} is not valid TOML: {error}") from error


def parse_set(text: str) -> tuple[tuple[str, ...], Any]:
    """Splits ``a.b.c=value`` into keys and value. The value is TOML; what is not TOML is a plain string (``--set agent.name=ppo``).

    Raises:
      UserError: there is no ``=``, or a key is empty or has other characters than letters, digits, ``_`` and ``-``.
    """
    key, equals, value = text.partition("=")
    keys = tuple(part.strip() for part in key.split("."))
    if not equals or not all(_KEY.fullmatch(part) for part in keys):
        raise UserError(f"--set {text!r}: expected KEY=VALUE, where KEY is like agent.learning_rate (letters, digits, _ and -)")
    return keys, _toml_value(value.strip())


def to_mapping(config: Any) -> dict[str, Any]:
    """The nested mapping that ``from_mapping`` turns back into an equal ``config``; only values that TOML and JSON have.

    None is left out where it is the default and written ``"none"`` elsewhere; tuples become lists, paths strings.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"to_mapping needs a dataclass instance, got {config!r}")
    named = ((entry, getattr(config, entry.name)) for entry in fields(config) if entry.init)
    return {entry.name: _plain(value) for entry, value in named if value is not None or entry.default is not None}


@dataclass(frozen=True)
class _Source:
    """Where values come from, for messages."""

    where: str
    root: type
    """The dataclass at the root of the tree: all keys are its."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Text of each ``--set`` by its dotted key."""
    options: OptionTables = field(default_factory=dict)
    """What defines the keys of plain tables."""

    def refuse(self, key: str, problem: str) -> UserError:
        """The error for the value (or table) at ``key``."""
        origin = self.where
        for prefix, text in self.overrides.items():
            if key == prefix or key.startswith((prefix + ".", prefix + "[")):
                origin = f"--set {text}"
        return UserError(f"{origin}: {key}: {problem}" if key else f"{origin}: {problem}")


def _build(cls: type[T], mapping: Any, key: str, source: _Source) -> T:
    if not isinstance(mapping, Mapping):
        raise source.refuse(key, f"expected a table of {cls.__name__} settings, got {_show(mapping)}")
    known = {entry.name: entry for entry in fields(typing.cast(Any, cls)) if entry.init}
    for name in mapping:
        if name not in known:
            raise source.refuse(
                join(key, str(name)), f"there is no such setting{meant(source.root, source.options, key, str(name), known)}"
            )
    lacking = [
        name for name, entry in known.items() if name not in mapping and entry.default is MISSING and entry.default_factory is MISSING
    ]
    if lacking:
        named = ", ".join(join(key, name) for name in lacking)
        raise source.refuse(key, f"missing {named}: without a default, so it must be set here")
    hints = typing.get_type_hints(cls)
    values = {name: _convert(hints[name], value, join(key, name), source) for name, value in mapping.items()}
    try:
        return cls(**values)
    except (ValueError, TypeError, OverflowError) as error:  # a check in __post_init__
        raise _refused(source, key, known, str(error)) from error


def _refused(source: _Source, key: str, known: Mapping[str, Any], problem: str) -> UserError:
    """The error of a check that begins with the name of the field that it refuses, or speaks of the whole table."""
    found = re.match(r"[A-Za-z_][\w.]*\w", problem)
    if found is None or found[0].partition(".")[0] not in known:
        return source.refuse(key, problem)
    return source.refuse(join(key, found[0]), problem[found.end() :].lstrip(" :"))


def _convert(hint: Any, value: Any, key: str, source: _Source) -> Any:
    if hint is Any or hint is object:
        _demand_usual_numbers(value, key, source)
        return value
    origin = typing.get_origin(hint)
    if origin in _GENERIC:
        return _GENERIC[origin](typing.get_args(hint), value, key, source)
    if is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else _build(hint, value, key, source)
    if hint in (tuple, list, dict):
        return _GENERIC[hint]((str, Any) if hint is dict else (Any, ...), value, key, source)
    return _scalar(hint, value, key, source)


def _scalar(hint: Any, value: Any, key: str, source: _Source) -> Any:
    if hint is type(None):
        if value is None or value == "none":
            return None
        raise source.refuse(key, f"expected {accepted(hint)}, got {_show(value)}")
    if hint not in _PLAIN:
        raise TypeError(f"{key}: settings of type {hint!r} are not supported")
    if not isinstance(value, _PLAIN[hint]) or (isinstance(value, bool) and hint is not bool):
        raise source.refuse(key, f"expected {accepted(hint)}, got {_show(value)}")
    try:
        converted = hint(value)
    except OverflowError as error:
        raise source.refuse(key, f"expected {accepted(hint)}, got one that is too large") from error
    _demand_usual_numbers(converted, key, source)
    return converted


def _demand_usual_numbers(value: Any, key: str, source: _Source) -> None:
    """Refuses numbers that are not finite, and integers of more than 64 bits, also within lists and tables."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _demand_usual_numbers(item, join(key, str(name)), source)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _demand_usual_numbers(item, f"{key}[{number}]", source)
    elif isinstance(value, float) and not math.isfinite(value):
        raise source.refuse(key, f"must be finite, got {value}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise source.refuse(key, "expected an integer of at most 64 bits, got a larger one")


def _literal(choices: tuple[Any, ...], value: Any, key: str, source: _Source) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    hint = nearest(value, [choice for choice in choices if isinstance(choice, str)]) if isinstance(value, str) else ""
    raise source.refuse(key, f"expected {accepted(Literal[choices])}, got {_show(value)}{hint if 'mean' in hint else ''}")


def _union(arms: tuple[Any, ...], value: Any, key: str, source: _Source) -> Any:
    if type(None) in arms and (value is None or value == "none"):
        return None
    problems = []
    for arm in sorted(arms, key=lambda arm: _exactness(arm, value)):
        if arm is type(None):
            continue
        try:
            return _convert(arm, value, key, source)
        except UserError as error:
            problems.append(error)
    if len(problems) == 1 and (isinstance(value, Mapping | list) or typing.get_origin(arms[0]) is Literal):
        raise problems[0]  # its message names the inner key
    detail = "".join(f"\n  {problem}" for problem in problems) if isinstance(value, Mapping) else ""
    raise source.refuse(key, f"expected {accepted(Union[arms])}, got {_show(value)}{detail}")  # noqa: UP007 - arms are known at run time only


def _exactness(arm: Any, value: Any) -> int:
    """Tries the arm of the very type first: ``1`` for ``float | int`` stays an int."""
    return 0 if arm is type(value) else 1


def _sequence(make: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def convert(args: tuple[Any, ...], value: Any, key: str, source: _Source) -> Any:
        if not isinstance(value, list | tuple):
            raise source.refuse(key, f"expected a list, got {_show(value)}")
        endless = make is list or (len(args) == 2 and args[1] is ...)
        if not endless and len(value) != len(args):
            raise source.refuse(key, f"expected a list of {len(args)} values, got {len(value)}: {_show(value)}")
        hints = [args[0]] * len(value) if endless else args
        return make([_convert(hint, item, f"{key}[{i}]", source) for i, (hint, item) in enumerate(zip(hints, value, strict=True))])

    return convert


def _table(args: tuple[Any, ...], value: Any, key: str, source: _Source) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise source.refuse(key, f"expected a table, got {_show(value)}")
    return {str(name): _convert(args[1], item, join(key, str(name)), source) for name, item in value.items()}


def _annotated(args: tuple[Any, ...], value: Any, key: str, source: _Source) -> Any:
    return _convert(args[0], value, key, source)


_GENERIC: dict[Any, Callable[..., Any]] = {
    Literal: _literal,
    Union: _union,
    types.UnionType: _union,
    tuple: _sequence(tuple),
    list: _sequence(list),
    dict: _table,
    Mapping: _table,
    typing.Annotated: _annotated,
}


def _show(value: Any) -> str:
    """A value as a person typed it, shortened, with its kind."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a very large {type(value).__name__}"
    kinds: dict[type[Any], str] = {dict: "a table", list: "a list", str: "a string"}
    kind = kinds.get(type(value), type(value).__name__)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({kind})"


def _toml_value(text: str) -> Any:
    try:
        table = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return table["value"] if set(table) == {"value"} else text


def _at(table: Mapping[str, Any], key: str) -> Any:
    """What stands at a dotted key; an empty table where there is nothing."""
    for name in key.split("."):
        table = table.get(name, {}) if isinstance(table, Mapping) else {}
    return table


def _put(table: dict[str, Any], keys: tuple[str, ...], value: Any, text: str) -> None:
    for depth, key in enumerate(keys[:-1]):
        below = table.setdefault(key, {})
        if not isinstance(below, dict):
            raise UserError(f"--set {text}: {'.'.join(keys[: depth + 1])} is not a table but {_show(below)}")
        table = below
    table[keys[-1]] = value


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return "none" if value is None else value
