"""Typed access to config.json: every odd value becomes one clear error.

It never guesses: a default is given by the caller, and only where the reference has one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from omnilive.errors import CheckpointError

T = TypeVar("T", int, float, bool, str)

LARGEST = 2**20
"""Largest size, count or length that a configuration may state. No model of the family comes near;
past it a damaged file would ask for terabytes before any tensor proves it wrong."""

_MEND = "Use the config.json that belongs to these weights."


@dataclass(frozen=True)
class ConfigFile:
    """One JSON object of a configuration file.

    Attributes:
        path: the file, for errors.
        values: the object.
        prefix: where the object lies inside the file, e.g. ``audio_config.``.
    """

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def integer(self, key: str, default: int | None = None) -> int:
        """A positive integer up to ``LARGEST``. Raises CheckpointError when missing or odd."""
        value = self._value(key, default, "a positive integer")
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self.odd(key, "a positive integer", value)
        if value > LARGEST:
            raise self.odd(key, f"at most {LARGEST}", value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive, finite number. Raises CheckpointError when missing or odd."""
        value = self._value(key, default, "a positive number")
        if not _is_number(value) or value <= 0:
            raise self.odd(key, "a positive number", value)
        return float(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """True or false. Raises CheckpointError when missing or odd."""
        value = self._value(key, default, "true or false")
        if not isinstance(value, bool):
            raise self.odd(key, "true or false", value)
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A string. Raises CheckpointError when missing or odd."""
        value = self._value(key, default, "a string")
        if not isinstance(value, str):
            raise self.odd(key, "a string", value)
        return value

    def index(self, key: str) -> int:
        """An integer of any sign. Raises CheckpointError when missing or odd."""
        value = self._value(key, None, "an integer")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.odd(key, "an integer", value)
        return value

    def ids(self, key: str) -> tuple[int, ...]:
        """Token ids given as one integer, a list of them, or not at all (an empty tuple)."""
        value = self.values.get(key)
        if value is None:
            return ()
        ids = value if isinstance(value, list) else [value]
        if any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in ids):
            raise self.odd(key, "a token id or a list of them", value)
        return tuple(ids)

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """A list of ``count`` finite numbers. Raises CheckpointError when missing or odd."""
        expected = f"a list of {count} numbers"
        value = self._value(key, None, expected)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(_is_number(v) for v in value)
        ):
            raise self.odd(key, expected, value)
        return tuple(float(v) for v in value)

    def section(self, key: str) -> ConfigFile:
        """A nested object. Raises CheckpointError when missing or odd."""
        value = self._value(key, None, "an object")
        if not isinstance(value, dict):
            raise self.odd(key, "an object", value)
        return ConfigFile(self.path, value, f"{self.prefix}{key}.")

    def with_defaults(self, defaults: Mapping[str, Any]) -> ConfigFile:
        """The same object with ``defaults`` for keys it leaves out.

        For sections that the reference library writes without the values it would fill in itself.
        """
        given = {key: value for key, value in self.values.items() if value is not None}
        return ConfigFile(self.path, {**defaults, **given}, self.prefix)

    def require(self, key: str, found: T, allowed: Sequence[T]) -> T:
        """Return ``found`` if it is one of ``allowed``. Raises CheckpointError otherwise."""
        if found not in allowed:
            raise self.odd(key, " or ".join(repr(a) for a in allowed), found)
        return found

    def odd(self, key: str, expected: str, found: object) -> CheckpointError:
        """The error for a key whose value cannot be used."""
        return CheckpointError(
            f"key '{self.prefix}{key}' expected {expected}, found {found!r}",
            where=str(self.path),
            mend=_MEND,
        )

    def _value(self, key: str, default: Any, expected: str) -> Any:
        value = self.values.get(key)
        if value is not None:
            return value
        if default is None:
            raise CheckpointError(
                f"key '{self.prefix}{key}' is missing, expected {expected}",
                where=str(self.path),
                mend=_MEND,
            )
        return default


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # false of NaN, too


def read_config(path: Path) -> ConfigFile:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is missing, unreadable, or not a JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise CheckpointError(
            f"cannot be read ({e.strerror})",
            where=str(path),
            mend="Point --checkpoint at a complete checkpoint folder.",
        ) from e
    except ValueError as e:
        raise CheckpointError(
            f"is not JSON ({e})", where=str(path), mend="Download the file again."
        ) from e
    if not isinstance(values, dict):
        raise CheckpointError(
            f"expected a JSON object, found {type(values).__name__}", where=str(path), mend=_MEND
        )
    return ConfigFile(path, values)
