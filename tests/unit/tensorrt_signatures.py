"""Reads the recorded signatures of TensorRT's binding, and writes them as a type stub.

With the stub, mypy checks every class, method, enum member and argument that our code uses. It
knows only what `tests/data/tensorrt` says.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

Recording = dict[str, Any]

_POSITIONAL = re.compile(r"arg\d+$")
_BUFFERS = ("buffer", "typing_extensions.Buffer")
_SIMPLE = {
    **{name: name for name in ("float", "str", "bool", "object", "None", "slice")},
    "tuple": "tuple[int, ...]",
    "list": "list[int]",
}
_INTS = ("int", "SupportsInt")

NULLABLE = (
    "build_serialized_network",
    "create_execution_context",
    "deserialize_cuda_engine",
    "get_timing_cache",
)
"""Methods that are documented to give None when they fail; their signatures do not tell."""


@dataclass(frozen=True)
class Argument:
    """One argument: its name, its type as recorded, and whether it may be left out."""

    name: str
    type: str
    optional: bool

    @property
    def positional(self) -> bool:
        """Whether the binding gave it no name to call it by."""
        return bool(_POSITIONAL.fullmatch(self.name))


@dataclass(frozen=True)
class Signature:
    """One overload of a method, ``self`` left out."""

    arguments: tuple[Argument, ...]
    returns: str

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name. Raises TypeError where they do not fit."""
        kinds = inspect.Parameter
        parameters = [
            kinds(
                a.name,
                kinds.POSITIONAL_ONLY if a.positional else kinds.POSITIONAL_OR_KEYWORD,
                default=None if a.optional else kinds.empty,
            )
            for a in self.arguments
        ]
        return dict(inspect.Signature(parameters).bind(*args, **kwargs).arguments)


def parse(signature: str) -> Signature:
    """A recorded signature, ``(self: A, name: type = default) -> type``."""
    inside, returns = signature.removeprefix("(").rsplit(") -> ", 1)
    arguments = []
    for part in _split(inside)[1:]:
        name, kind = part.split(":", 1)
        kind, default, _ = kind.partition(" = ")
        # pybind11 lets an argument without a default follow one that has it; Python does not.
        optional = bool(default) or any(a.optional for a in arguments)
        arguments.append(Argument(name.strip(), kind.strip(), optional))
    return Signature(tuple(arguments), returns.strip())


def stub(recording: Recording) -> str:
    """The text of ``tensorrt.pyi``."""
    known = {*recording["classes"], *recording["enums"]} - {"Severity"}
    lines = [
        "# ruff: noqa",
        "# fmt: off",
        f"# TensorRT {recording['version']}, written by tests/unit/tensorrt_bindings.py.",
        "from collections.abc import Mapping, Sequence",
        "from typing import Any, ClassVar, overload",
        "",
        "__version__: str",
        "",
    ]
    for name, members in recording["enums"].items():
        if name != "Severity":
            lines += [*_enum(name, members, ""), ""]
    for name, cls in recording["classes"].items():
        lines += [*_class(name, cls, recording, known), ""]
    return "\n".join(lines)


def _class(name: str, cls: dict[str, Any], recording: Recording, known: set[str]) -> list[str]:
    bases = ", ".join(base for base in cls["bases"] if base in recording["classes"])
    lines = [f"class {name}({bases}):" if bases else f"class {name}:"]
    if name == "ILogger":
        lines += _enum("Severity", recording["enums"]["Severity"], "    ", "ILogger.")
    if name == "IHostMemory":
        # Documented to be a buffer; Python 3.11 cannot tell from outside.
        lines.append("    def __buffer__(self, flags: int, /) -> memoryview: ...")
    for method, signatures in cls["methods"].items():
        if method == "__eq__":
            continue  # narrower than that of every object
        for signature in signatures:
            if len(signatures) > 1:
                lines.append("    @overload")
            empty = " | None" if method in NULLABLE else ""
            lines.append(f"    def {method}{_typed(parse(signature), known)}{empty}: ...")
    for prop, facts in cls["properties"].items():
        kind = _type(facts["type"], known)
        lines += ["    @property", f"    def {prop}(self) -> {kind}: ..."]
        if facts["settable"]:
            setter = f"    def {prop}(self, value: {kind}) -> None: ..."
            lines += [f"    @{prop}.setter", setter]
    return lines if len(lines) > 1 else [*lines, "    pass"]


def _enum(name: str, members: dict[str, int], indent: str, owner: str = "") -> list[str]:
    own = f"{owner}{name}"
    return [
        f"{indent}class {name}:",
        *(f"{indent}    {member}: ClassVar[{own}]" for member in members),
        f"{indent}    __members__: ClassVar[Mapping[str, {own}]]",
        f"{indent}    def __int__(self) -> int: ...",
    ]


def _typed(signature: Signature, known: set[str]) -> str:
    parts = ["self"]
    for argument in signature.arguments:
        kind = _type(argument.type, known, given=True)
        parts.append(f"{argument.name}: {kind}{' = ...' if argument.optional else ''}")
    if signature.arguments and all(a.positional for a in signature.arguments):
        parts.append("/")
    returns = _type(signature.returns, known)
    return f"({', '.join(parts)}) -> {returns}"


def _type(recorded: str, known: set[str], *, given: bool = False) -> str:
    plain = recorded.rsplit("::", 1)[-1]
    plain = {"IParserError": "ParserError"}.get(plain, plain)
    if recorded in _BUFFERS:
        return "bytes | memoryview | IHostMemory"
    if recorded in _INTS:
        return "int"
    if plain == "Dims" and given:
        return "Dims | Sequence[int]"
    inner = re.fullmatch(r"(?:List|list|Sequence)\[(.+)\]", recorded)
    if inner:
        return f"{'Sequence' if given else 'list'}[{_type(inner.group(1), known)}]"
    if recorded == "ILogger.Severity" or plain in known:
        return recorded if recorded == "ILogger.Severity" else plain
    return _SIMPLE.get(recorded, "Any")


def _split(inside: str) -> list[str]:
    """The arguments between the outer commas."""
    parts, depth, begin = [], 0, 0
    for i, char in enumerate(inside):
        depth += (char in "[(<") - (char in "])>")
        if char == "," and not depth:
            parts.append(inside[begin:i])
            begin = i + 1
    return [part.strip() for part in (*parts, inside[begin:])]
