"""What this machine is: the part of a pack's record that says where it was built.

Reads facts only; it never measures and never fails for a fact that cannot be had.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from omnilive.engine.nvidia_smi import query

KERNEL_FEATURES = frozenset(
    {
        *("fma", "f16c", "avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
        *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
        *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
    }
)
"""CPU features that decide which kernels a backend picks, as /proc/cpuinfo spells them."""

BACKEND_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "tensorrt")
_GPU_FIELDS = {
    "name": "name",
    "compute_capability": "compute_cap",
    "memory_mib": "memory.total",
    "driver": "driver_version",
}


def device_fingerprint() -> dict[str, Any]:
    """Facts of this machine, JSON-ready.

    Keys: ``system``, ``machine``, ``device`` (board or CPU name), ``cpu`` (name), ``cores``,
    ``cpu_features`` (sorted), ``memory_bytes``, ``python``, ``backends`` (package → version of
    those installed) and ``gpus`` (name, compute_capability, memory_mib, driver of each).
    """
    name, flags = _cpu()
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "device": _board() or name,
        "cpu": name,
        "cores": os.cpu_count() or 1,
        "cpu_features": sorted(flags & KERNEL_FEATURES),
        "memory_bytes": _memory_bytes(),
        "python": platform.python_version(),
        "backends": backend_versions(),
        "gpus": _gpus(),
    }


def backend_versions() -> dict[str, str]:
    """Version of each installed inference package, by distribution name."""
    found = {}
    for package in BACKEND_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> tuple[str, set[str]]:
    """CPU name and feature flags; x86 and Arm kernels name the lines differently."""
    name, flags = "", set[str]()
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key in ("model name", "Model") and not name:
            name = value
        elif key in ("flags", "Features") and not flags:
            flags = set(value.split())
    return name or platform.processor() or platform.machine(), flags


def _board() -> str:
    """Board name of a Jetson and other device-tree machines, else empty."""
    return _read("/proc/device-tree/model").rstrip("\0").strip()


def _memory_bytes() -> int:
    """Physical memory in bytes, 0 when unknown."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _gpus() -> list[dict[str, str]]:
    """NVIDIA devices as the driver's own tool lists them; empty without one."""
    return [
        {name: device[field] for name, field in _GPU_FIELDS.items()}
        for device in query(tuple(_GPU_FIELDS.values()))
    ]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
