"""The cache key of a build: computed, written into the manifest, and compared before building.

It decides whether a build can be skipped and never builds or publishes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import omnilive
import omnilive._native
import omnilive.engine.manifest
import omnilive_export
import omnilive_micropack
from omnilive.engine.accuracy import OWN_SOURCE
from omnilive.engine.cache_key import (
    KEY,
    POLICIES,
    CacheKey,
    machine_facts,
    recorded_key,
    sha256_of_json,
)
from omnilive.engine.files import check_files
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.manifest import ACCURACY, PartialManifest
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.engine.rebuild import ARGUMENTS, CHECKPOINT
from omnilive.errors import PackError
from omnilive_export.precision import INT8, RTN
from omnilive_export.quality_table import QUALITY_NAME
from omnilive_export.quantizing.moments import file_sha256
from omnilive_export.validity import ORT

NO_RECIPE = (
    *("checkpoint", "out", "verify", "allow_inaccurate", "force", "arguments", "calibration"),
    *("measure", "quality"),
)
"""What a request says besides how the engines are made."""

WAYS = ("timing_cache",)
"""Options of a backend that change how long a build takes and where it remembers it, not what it
makes."""

RECORDING_STAGES = ("engine", "memory", "perception", "reasoning", "sources", "speech")
"""Folders of the runtime through which inputs pass before an engine is given them."""

RECORDING_PACKAGES = ("numpy", "pillow", "soxr", "espeakng-loader")

BORNE_BY_HARDWARE = {
    "NONE": (),
    "SAME_COMPUTE_CAPABILITY": ("device",),
    "AMPERE_PLUS": ("device", "compute_capability"),
}
"""TensorRT's hardware compatibility levels → what may change without a rebuild."""

NOT_RECORDED = ("checkpoint", "out", "force", "onnx_only")
"""Options that a rebuild gives by itself, or must not give: it is for engines."""


def recipe_of(request: Any) -> dict[str, Any]:
    """Every field of a build request that decides what its engines are, JSON-ready.

    Options of a backend that it is not built for are none. Activation statistics count by the
    sha256 of their file, and so do swapped models: theirs are in the key's ``source``, and where
    their folders lie makes no other pack.
    """
    fields = dataclasses.asdict(request)
    others = [name for name in POLICIES if name != fields["backend"]]
    chosen = {name: v for name, v in fields.items() if name not in (*NO_RECIPE, *others)}
    options = chosen.get(fields["backend"])
    if isinstance(options, dict):
        chosen[fields["backend"]] = {k: v for k, v in options.items() if k not in WAYS}
    recipe: dict[str, Any] = json.loads(json.dumps(chosen, default=str, sort_keys=True))
    if request.recipe is not None:
        recipe["recipe"]["models"] = sorted(request.recipe.models)
    if request.calibration is not None:
        recipe["calibration"] = file_sha256(request.calibration)
    return recipe


def recorded_arguments(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The command line that gives ``options`` again, the checkpoint and the target left out.

    Args:
        options: option name with underscores → its parsed value; None and False are left out.
    """
    arguments: list[str] = []
    for name, value in sorted(options.items()):
        if name in NOT_RECORDED or value is None or value is False:
            continue
        arguments.append("--" + name.replace("_", "-"))
        if value is not True:
            values = value if isinstance(value, list | tuple) else [value]
            arguments += [str(v.resolve() if isinstance(v, Path) else v) for v in values]
    return tuple(arguments)


def _needs_native(recipe: Mapping[str, Any]) -> bool:
    """Whether the native core's own arithmetic decides about codes (see ``builder_digest``)."""
    groups = [part for part in recipe["precision"].values() if isinstance(part, Mapping)]
    return any(part.get("method", RTN) != RTN for part in groups)


def _records(recipe: Mapping[str, Any], backend: str) -> bool:
    """Whether recorded inputs decide what the engines are: the scales of int8 arenas."""
    own = recipe.get("recipe")
    return backend == ORT and isinstance(own, Mapping) and own.get("kv") == INT8


def work_key(recipe: Mapping[str, Any]) -> str:
    """What quantized tensors that are kept for the next build depend on, their values left out."""
    return sha256_of_json([recipe, builder_digest(native=True)])


def borne_changes(recipe: Mapping[str, Any], backend: str) -> tuple[str, ...]:
    """Facts of the machine whose change engines of ``recipe`` were compiled to bear."""
    options = recipe.get(backend)
    if not isinstance(options, Mapping):
        return ()
    version = ("backend_version",) if options.get("version_compatible") else ()
    return (*version, *BORNE_BY_HARDWARE.get(str(options.get("hardware")), ()))


def build_key(recipe: Mapping[str, Any], backend: str, source: Mapping[str, str]) -> CacheKey:
    """The key of a build on this machine.

    Args:
        recipe: from ``recipe_of``.
        backend: that the pack is built for.
        source: sha256 of each checkpoint file.
    """
    return _key(sha256_of_json(source), recipe, backend)


def with_key(
    manifest: PartialManifest, key: CacheKey, checkpoint: Path, arguments: Sequence[str] | None
) -> PartialManifest:
    """The manifest with the key and, in ``build``, how to build it again.

    Args:
        manifest: the new pack's.
        key: of its build.
        checkpoint: the folder it was built from.
        arguments: from ``recorded_arguments``; None when nobody typed any.
    """
    return dataclasses.replace(
        manifest,
        fingerprint={
            **manifest.fingerprint,
            KEY: dataclasses.asdict(key),
        },
        build={
            **manifest.build,
            CHECKPOINT: str(checkpoint.resolve()),
            **({} if arguments is None else {ARGUMENTS: list(arguments)}),
        },
    )


def is_current(
    out: Path,
    recipe: Mapping[str, Any],
    backend: str,
    source: Future[dict[str, str]],
    *,
    stage: Callable[[str], None],
    verify: bool,
    allow_inaccurate: bool,
    measure: bool = False,
    quality: bool = False,
) -> bool:
    """Whether the pack at ``out`` is what this build would make.

    What is cheap to compare comes first: the checkpoint's hashes are waited for only where
    everything else agrees.

    Args:
        out: the pack, there or not.
        recipe, backend: of the build.
        source: hashes of the checkpoint's files, being computed.
        stage: told before the wait.
        verify: whether a verification is wanted.
        measure: whether an accuracy record is wanted.
        quality: whether a quality table is wanted.
        allow_inaccurate: whether one that misses its tolerance will do.
    """
    try:
        manifest = read_partial_manifest(out)
        check_files(manifest.all_files(), out, verify_hashes=False)
    except PackError:
        return False
    key = recorded_key(manifest.fingerprint)
    records = [engine.accuracy for engine in manifest.engines.values()]
    if key is None:
        return False
    if verify and any(r is None or r.get("reference") == OWN_SOURCE for r in records):
        return False
    if quality and not (out / QUALITY_NAME).is_file():
        return False
    if measure and not manifest.build.get(ACCURACY, {}).get("measured"):
        return False
    if not allow_inaccurate and any(r is not None and not r.get("passed") for r in records):
        return False
    if key.digest != _key(key.source, recipe, backend).digest:
        return False
    stage("hashes of the checkpoint")
    return key.source == sha256_of_json(source.result())


@cache
def builder_digest(native: bool) -> str:
    """sha256 over the exporter's own code, what judges a finished pack left out.

    Args:
        native: count the native core too: round-to-nearest is the same whatever computes it, the
            other quantizers are what the core makes them.
    """
    root = Path(omnilive_export.__file__).parent
    files = [p for p in root.rglob("*.py") if p.relative_to(root).parts[0] != "verify"]
    digest = hashlib.sha256()
    for path in (*sorted(files), Path(omnilive.engine.manifest.__file__)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    if native:
        digest.update(Path(omnilive._native.__file__).read_bytes())
    return digest.hexdigest()


@cache
def recording_digest() -> str:
    """sha256 over what inputs are recorded with: the miniature's world and the runtime's stages.

    Beside the code, the versions of the packages that paint and speak that world.
    """
    world, runtime = (Path(m.__file__ or "").parent for m in (omnilive_micropack, omnilive))
    files = [*world.glob("*.py")]
    for stage in RECORDING_STAGES:
        files += (runtime / stage).glob("*.py")
    code = {f"{p.parent.name}/{p.name}": file_sha256(p) for p in files}
    return sha256_of_json([code, {name: version(name) for name in RECORDING_PACKAGES}])


def _key(source: str, recipe: Mapping[str, Any], backend: str) -> CacheKey:
    machine = machine_facts(device_fingerprint(), backend)
    if _records(recipe, backend):
        builder = sha256_of_json([builder_digest(native=True), recording_digest()])
    else:
        builder = builder_digest(native=_needs_native(recipe))
    return CacheKey(source, recipe, builder, machine, borne_changes(recipe, backend))
