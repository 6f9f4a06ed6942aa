"""Finds and reads recipes: those that come with the exporter by name, others by their file.

Strict: a key that nobody knows is an error that names it. It never checks what a backend can do.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from omnilive.errors import ConfigError
from omnilive_export.precision import BLOCK_SIZES, INT8, KV_FLOAT, LinearFormat
from omnilive_export.recipe import BLOCK_KINDS, GROUPS, KINDS, ContextLimits, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIX = ".toml"
FOLDER = "recipes"

_FORMAT_KEYS: Mapping[str, type] = {"kind": str, "block": int, "symmetric": bool, "method": str}
_TOP_KEYS: Mapping[str, type] = {
    "about": str,
    "backend": str,
    **{group: dict for group in GROUPS},
    "tables": str,
    "kv": str,
    "keep": dict,
    "limits": dict,
    "tolerance": dict,
    "models": dict,
}


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the exporter."""
    folder = resources.files("omnilive_export") / FOLDER
    return tuple(
        sorted(f.name.removesuffix(SUFFIX) for f in folder.iterdir() if f.name.endswith(SUFFIX))
    )


def load_recipe(name: str) -> Recipe:
    """The recipe called ``name``, or that of the file of this name.

    Raises:
        ConfigError: there is none, it is not TOML, or a key is missing, unknown or odd.
    """
    if name in recipe_names():
        source = resources.files("omnilive_export") / FOLDER / f"{name}{SUFFIX}"
        return parse_recipe(source.read_text(encoding="utf-8"), name, where=f"recipe {name}")
    path = Path(name)
    if path.suffix != SUFFIX:
        raise ConfigError(
            f"there is no recipe {name!r}",
            where="--recipe",
            mend=f"Use one of {', '.join(recipe_names())}, or the path of a {SUFFIX} file.",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"cannot be read ({e})", where=str(path), mend="Check the path given with --recipe."
        ) from e
    return parse_recipe(text, path.stem, where=str(path), folder=path.parent)


def parse_recipe(text: str, name: str, *, where: str, folder: Path | None = None) -> Recipe:
    """The recipe in ``text``, validated.

    Args:
        text: TOML.
        name: of the recipe.
        where: names the text in errors.
        folder: what the paths in it are relative to; the working directory by default.

    Raises:
        ConfigError: it is not TOML, or a key is missing, unknown or odd.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"is not TOML ({e})", where=where, mend="Correct that line.") from e
    _check_keys(values, _TOP_KEYS, where, "")
    for key in ("backend", *GROUPS):
        if key not in values:
            raise ConfigError(f"has no {key}", where=where, mend=f"Say what the {key} is.")
    limits = values.get("limits", {})
    _check_keys(limits, {f.name: int for f in dataclasses.fields(ContextLimits)}, where, "limits")
    keep = values.get("keep", {})
    _check_keys(keep, dict.fromkeys(keep, str), where, "keep")
    models = values.get("models", {})
    _check_keys(models, dict.fromkeys(models, str), where, "models")
    recipe = Recipe(
        name=name,
        about=values.get("about", ""),
        backend=values["backend"],
        **{group: _format(values[group], where, group) for group in GROUPS},
        tables=values.get("tables", INT8),
        kv=values.get("kv", KV_FLOAT),
        keep=keep,
        limits=ContextLimits(**limits),
        tolerance=_tolerance(values.get("tolerance", {}), where),
        models={part: str(((folder or Path()) / p).resolve()) for part, p in models.items()},
    )
    try:
        recipe.validate()
    except ConfigError as e:
        raise ConfigError(e.what, where=f"{where}: {e.where.split(': ', 1)[1]}", mend=e.mend) from e
    return recipe


def _format(values: Mapping[str, Any], where: str, group: str) -> LinearFormat:
    _check_keys(values, _FORMAT_KEYS, where, group)
    if "kind" not in values:
        raise ConfigError("is missing", where=f"{where}: {group}.kind", mend="Name a kind.")
    if values["kind"] in KINDS and values["kind"] not in BLOCK_KINDS and len(values) > 1:
        extra = ", ".join(sorted(values.keys() - {"kind"}))
        raise ConfigError(
            f"has {extra}, which {values['kind']} has no use for",
            where=f"{where}: {group}",
            mend=f"Leave it out: only {' and '.join(BLOCK_KINDS)} have blocks.",
        )
    return LinearFormat(
        values["kind"],
        values.get("block", BLOCK_SIZES[0]),
        values.get("symmetric", True),
        values.get("method", "rtn"),
    )


def _tolerance(values: Mapping[str, Any], where: str) -> dict[str, dict[str, float]]:
    _check_keys(values, dict.fromkeys(values, dict), where, "tolerance")
    found = {}
    for engine, limits in values.items():
        _check_keys(limits, dict.fromkeys(limits, float), where, f"tolerance.{engine}")
        found[engine] = {measure: float(limit) for measure, limit in limits.items()}
    return found


def _check_keys(
    values: Mapping[str, Any], known: Mapping[str, type], where: str, section: str
) -> None:
    """Refuse keys that are not in ``known``, and values of another type."""
    for key, value in values.items():
        path = f"{section}.{key}" if section else key
        if key not in known:
            raise ConfigError(
                f"has no key {path!r}",
                where=where,
                mend=f"Keys {'of ' + section if section else 'here'} are {', '.join(known)}.",
            )
        wanted = known[key]
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise ConfigError(
                f"is {value!r}",
                where=f"{where}: {path}",
                mend="Give " + _WORDS[wanted] + ".",
            )


_WORDS: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a section",
}
