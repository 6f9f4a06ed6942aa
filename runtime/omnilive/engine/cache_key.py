"""What a build of a pack depended on, and which changes of the machine make the build stale.

Pure comparison: it reads no file, asks no device and rebuilds nothing.

What a change means depends on the backend:

- ``ort`` packs hold ONNX graphs, a stable format: graph optimization, the packing of weights and
  the choice of kernels for a CPU all happen again whenever an engine loads. Another onnxruntime is
  therefore only noted, since its kernels may differ in the last digits. Other CPU features are
  noted only where the pack records an accuracy, which was then measured with other kernels.
  Another device or driver changes nothing in the pack.
- ``tensorrt`` packs hold plans compiled for one version and one GPU: the plan of another TensorRT
  does not load, one of another compute capability neither, and one of another GPU of the same
  capability is tuned for other multiprocessors and memory. They are built again, unless they
  were built to bear that change (``CacheKey.bears``): then it is noted. A driver only has to be
  new enough, which TensorRT itself checks, so another one is noted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omnilive.engine.manifest import Manifest
from omnilive.engine.typed_json import read
from omnilive.versions import release

KEY = "key"
"""Where the key lies in the manifest's ``fingerprint``."""

IGNORE, NOTE, NOTE_IF_MEASURED, REBUILD = "ignore", "note", "note_if_measured", "rebuild"

POLICIES: Mapping[str, Mapping[str, str]] = {
    "ort": {
        "backend_version": NOTE,
        "cpu_features": NOTE_IF_MEASURED,
        "device": IGNORE,
        "compute_capability": IGNORE,
        "driver": IGNORE,
    },
    "tensorrt": {
        "backend_version": REBUILD,
        "cpu_features": IGNORE,
        "device": REBUILD,
        "compute_capability": REBUILD,
        "driver": NOTE,
    },
}
"""Backend → fact → what its change means."""

PACKAGES = {"ort": ("onnxruntime", "onnxruntime-gpu"), "tensorrt": ("tensorrt",)}
"""Backend → distributions that bring it, as the device fingerprint lists their versions."""

GPU_BACKENDS = ("tensorrt",)
"""Backends whose device is the GPU and not the board."""

_WORDS = {
    "backend_version": "version of the backend",
    "cpu_features": "CPU features",
    "device": "device",
    "compute_capability": "compute capability",
    "driver": "driver",
}


@dataclass(frozen=True)
class MachineFacts:
    """The part of the machine that a build for one backend depends on.

    Attributes:
        backend: ``ort`` or ``tensorrt``.
        backend_version: empty where it is not installed.
        device: name of the GPU for a backend that compiles for one, else of board or CPU.
        compute_capability, driver: of the first GPU, empty without one.
        cpu_features: sorted.
    """

    backend: str
    backend_version: str
    device: str
    compute_capability: str
    driver: str
    cpu_features: tuple[str, ...]


@dataclass(frozen=True)
class CacheKey:
    """Everything that decides what a build makes; builds of equal digests need not be repeated.

    Attributes:
        source: sha256 over the checkpoint's files.
        recipe: what was asked for: precision, block size, quantizer and the like, by option; files
            of activation statistics by their sha256.
        builder: sha256 over the exporter's own code, the native core where it decides codes, and
            what inputs are recorded with where they decide scales.
        machine: where it was built. The driver is recorded but no part of the digest.
        bears: fields of ``machine`` that may change without a rebuild, since the engines were
            compiled for more than that machine; of the version only to a later one of the same
            major.
    """

    source: str
    recipe: Mapping[str, Any]
    builder: str
    machine: MachineFacts
    bears: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 in hex over all of it but the driver."""
        facts = dataclasses.asdict(self)
        del facts["machine"]["driver"]
        return sha256_of_json(facts)


@dataclass(frozen=True)
class Change:
    """One fact that is not what it was at the build.

    Attributes:
        fact: field of ``MachineFacts``.
        was, now: its values, in words.
        means: NOTE or REBUILD.
    """

    fact: str
    was: str
    now: str
    means: str

    def __str__(self) -> str:
        return f"{_WORDS[self.fact]} was {self.was or 'none'}, is {self.now or 'none'}"


def sha256_of_json(value: Any) -> str:
    """sha256 in hex of ``value`` as JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def machine_facts(fingerprint: Mapping[str, Any], backend: str) -> MachineFacts:
    """The facts for ``backend`` out of a ``device_fingerprint``."""
    versions = fingerprint["backends"]
    version = next((versions[p] for p in PACKAGES.get(backend, ()) if p in versions), "")
    gpu = fingerprint["gpus"][0] if fingerprint["gpus"] else {}
    on_gpu = backend in GPU_BACKENDS
    return MachineFacts(
        backend=backend,
        backend_version=version,
        device=gpu.get("name", "") if on_gpu else fingerprint["device"],
        compute_capability=gpu.get("compute_capability", ""),
        driver=gpu.get("driver", ""),
        cpu_features=tuple(fingerprint["cpu_features"]),
    )


def recorded_key(fingerprint: Mapping[str, Any]) -> CacheKey | None:
    """The key a manifest's ``fingerprint`` holds; None for a pack from before keys, or an odd one.

    An odd key only means that nothing can be compared: the pack's engines are checked by hash.
    """
    if KEY not in fingerprint:
        return None
    try:
        return read(CacheKey, fingerprint[KEY])
    except ValueError:
        return None


def changes(manifest: Manifest, fingerprint: Mapping[str, Any]) -> tuple[Change, ...]:
    """What changed since the build and matters to the backends of the pack's engines.

    Args:
        manifest: of the pack.
        fingerprint: of this machine now (``device_fingerprint``).
    """
    key = recorded_key(manifest.fingerprint)
    if key is None:
        return ()
    measured = any(e.accuracy is not None for e in manifest.engines.values())
    return tuple(_changes(key, fingerprint, measured))


def _changes(key: CacheKey, fingerprint: Mapping[str, Any], measured: bool) -> Iterator[Change]:
    was = key.machine
    now = machine_facts(fingerprint, was.backend)
    for fact, means in POLICIES.get(was.backend, {}).items():
        before, after = _words(getattr(was, fact)), _words(getattr(now, fact))
        if before == after or means == IGNORE:
            continue
        if means == NOTE_IF_MEASURED:
            if not measured:
                continue
            means = NOTE
        if means == REBUILD and fact in key.bears and _is_borne(fact, before, after):
            means = NOTE
        yield Change(fact, before, after, means)


def _is_borne(fact: str, before: str, after: str) -> bool:
    if fact != "backend_version":
        return True
    was, now = release(before), release(after)
    return was[:1] == now[:1] and was <= now


def _words(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(value)
