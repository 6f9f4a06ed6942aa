"""Writes down the interface of TensorRT's Python binding, as the binding itself states it.

Run as a program, in a process of its own: `tensorrt_record.py BINDINGS_FOLDER STUB_FOLDER`. The
JSON goes to stdout. It never builds or runs an engine: the libraries behind the binding are stubs.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

CLASSES = (
    "Builder",
    "Dims",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "ITensor",
    "ITimingCache",
    "Logger",
    "OnnxParser",
    "ParserError",
    "Runtime",
)
ENUMS = (
    "BuilderFlag",
    "DataType",
    "ExecutionContextAllocationStrategy",
    "HardwareCompatibilityLevel",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParserFlag",
    "TensorIOMode",
    "TensorLocation",
)
NESTED_ENUMS = {"Severity": ("ILogger", "Severity")}

_MODULE = re.compile(r"tensorrt_bindings\.tensorrt\.|(?:typing|collections\.abc)\.")
_SPECIAL = ("__init__", "__getitem__", "__len__", "__bool__", "__iter__", "__eq__")


def main(bindings: Path, stubs: Path) -> None:
    """Import the binding over the stub libraries and print what it offers."""
    for library in sorted(stubs.glob("*.so.*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(bindings))
    import tensorrt_bindings as trt

    enums = {name: _members(getattr(trt, name)) for name in ENUMS if hasattr(trt, name)}
    for name, (owner, attribute) in NESTED_ENUMS.items():
        enums[name] = _members(getattr(getattr(trt, owner), attribute))
    record = {
        "version": trt.__version__,
        "classes": {name: _class(getattr(trt, name)) for name in CLASSES if hasattr(trt, name)},
        "enums": enums,
    }
    json.dump(record, sys.stdout, indent=1, sort_keys=True)


def _members(enum: Any) -> dict[str, int]:
    return {name: int(value) for name, value in enum.__members__.items()}


def _class(cls: type) -> dict[str, Any]:
    methods: dict[str, list[str]] = {}
    properties: dict[str, dict[str, Any]] = {}
    for name, value in vars(cls).items():
        if name.startswith("_") and name not in _SPECIAL:
            continue
        if isinstance(value, property):
            properties[name] = {"type": _type(value), "settable": value.fset is not None}
        elif callable(value) and not inspect.isclass(value):
            signatures = _signatures(name, value.__doc__ or "")
            if signatures:
                methods[name] = signatures
    bases = [base.__name__ for base in cls.__bases__ if base.__module__ != "pybind11_builtins"]
    return {"bases": bases, "methods": methods, "properties": properties}


def _type(value: property) -> str:
    doc = value.fget.__doc__ or "" if value.fget else ""
    found = re.search(r"->\s*(.+)$", doc.strip().splitlines()[0]) if doc.strip() else None
    return _plain(found.group(1)) if found else "object"


def _signatures(name: str, doc: str) -> list[str]:
    """The signature lines of a docstring that pybind11 wrote; one per overload."""
    pattern = re.compile(rf"^(?:\d+\. )?{re.escape(name)}(\(.*\).*)$")
    lines = [found.group(1) for line in doc.splitlines() if (found := pattern.match(line.strip()))]
    return [_plain(line) for line in lines if not line.startswith("(*args, **kwargs)")]


def _plain(signature: str) -> str:
    return _MODULE.sub("", signature).strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
