"""How flags are read and shown: what tyro does, without its words for programmers."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Union, get_args

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo


def registry() -> ConstructorRegistry:
    """Reads a flag that may be left out (``X | None``) as ``X``: its help says PATH, not {None}|PATH, and None cannot be typed."""
    rules = ConstructorRegistry()

    @rules.primitive_rule
    def optional(info: PrimitiveTypeInfo) -> Any:
        arms = get_args(info.type) if info.type_origin in (Union, types.UnionType) else ()
        given = [arm for arm in arms if arm is not type(None)]
        if len(given) != 1 or len(arms) != 2:
            return None
        found = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(given[0], info.markers))
        return _or_left_out(found) if isinstance(found, PrimitiveConstructorSpec) else found

    return rules


def _or_left_out(spec: PrimitiveConstructorSpec[Any]) -> PrimitiveConstructorSpec[Any]:
    def shown(value: Any) -> list[str]:
        return ["unset"] if value is None else spec.str_from_instance(value)

    return dataclasses.replace(spec, is_instance=lambda value: value is None or spec.is_instance(value), str_from_instance=shown)
