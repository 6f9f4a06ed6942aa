"""Turns parsed JSON into frozen dataclasses by their annotations. It never guesses a value."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def read(kind: type[T], raw: object, at: str = "") -> T:
    """An instance of the dataclass ``kind`` from the object ``raw``.

    Annotations may be ``str``, ``int``, ``float``, ``bool``, ``Any``, other dataclasses,
    ``tuple[X, ...]``, ``Mapping[str, X]`` and unions of these. No key may be unknown; one may be
    missing where the dataclass has a default.

    Args:
        at: where ``raw`` lies in the file, for errors.

    Raises:
        ValueError: names the first odd field, what was expected there and what was found.
    """
    given = _object(raw, at)
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise ValueError(f"{_under(at, unknown[0])} is unknown")
    values = {}
    for name, field in fields.items():
        if name in given:
            values[name] = _value(hints[name], given[name], _under(at, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{_under(at, name)} is missing")
    return kind(**values)


def _value(hint: Any, raw: object, at: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return raw
    if origin in (Union, types.UnionType):
        return _one_of(arguments, raw, at)
    if origin is tuple:
        if not isinstance(raw, list):
            raise _odd(at, "a list", raw)
        return tuple(_value(arguments[0], item, f"{at}[{i}]") for i, item in enumerate(raw))
    if origin is Mapping:
        return {k: _value(arguments[1], v, _under(at, k)) for k, v in _object(raw, at).items()}
    if dataclasses.is_dataclass(hint):
        return read(hint, raw, at)  # type: ignore[arg-type]
    if hint is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        if math.isfinite(raw):
            return float(raw)
    elif type(raw) is hint:
        return raw
    raise _odd(at, _name(hint), raw)


def _one_of(options: tuple[Any, ...], raw: object, at: str) -> Any:
    if raw is None and type(None) in options:
        return None
    possible = [option for option in options if option is not type(None)]
    if len(possible) == 1:
        return _value(possible[0], raw, at)
    for option in possible:
        if type(raw) is option:
            return raw
    raise _odd(at, " or ".join(_name(option) for option in possible), raw)


def _object(raw: object, at: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _odd(at, "an object", raw)
    return raw


def _under(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _name(hint: Any) -> str:
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    return names.get(hint, str(hint))


def _odd(at: str, expected: str, raw: object) -> ValueError:
    found = repr(raw)
    return ValueError(f"{at or 'it'} expected {expected}, found {found[:60]}")
