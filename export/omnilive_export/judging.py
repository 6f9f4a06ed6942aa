"""What a build does with a written pack before it is published: it is measured, and judged.

Each measurement runs in a child process. It publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnilive.engine.accuracy import missed
from omnilive.engine.manifest import ACCURACY, MANIFEST_NAME, PartialManifest, to_json
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.errors import BuildError
from omnilive_export.child import Send, run_in_child
from omnilive_export.precision import INT8
from omnilive_export.recipe import Recipe
from omnilive_export.tensorrt.pack_builder import TENSORRT

if TYPE_CHECKING:
    from omnilive_export.build import BuildRequest


def finished(
    request: BuildRequest, folder: Path, on_message: Callable[[str, Any], None]
) -> PartialManifest:
    """The manifest of the written pack, after what needs recorded inputs, if anything does."""
    manifest = read_partial_manifest(folder)
    if request.backend == TENSORRT:
        return _unmeasured(manifest, "the record runs graphs of the ort backend only", folder)
    int8_arenas = request.recipe is not None and request.recipe.kv == INT8
    if request.measure or int8_arenas:
        arguments = (folder, request.checkpoint, request.recipe, request.measure)
        where = str(request.out)
        manifest = run_in_child(finish_in_child, arguments, on_message, where=where)
    if not request.measure:
        return _unmeasured(manifest, "left out at the build", folder)
    write_manifest(folder, manifest)
    return manifest


def _unmeasured(manifest: PartialManifest, reason: str, folder: Path) -> PartialManifest:
    told = {"measured": False, "reason": reason}
    manifest = replace(manifest, build={**manifest.build, ACCURACY: told})
    write_manifest(folder, manifest)
    return manifest


def joined_records(
    manifest: PartialManifest, verified: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The records of a verification, with what was measured before it under ``recorded``.

    PyTorch's reference is the more independent one, so its measures are the record's; an engine
    passes where it kept both tolerances.
    """
    joined = {}
    for name, record in verified.items():
        own = manifest.engines[name].accuracy
        joined[name] = dict(record)
        if own is not None:
            passed = bool(record["passed"] and own["passed"])
            joined[name].update(recorded=dict(own), passed=passed)
    return joined


def check_accuracy(records: Mapping[str, Mapping[str, Any] | None], out: Path) -> None:
    """Refuse a pack of which an engine missed its tolerance. Raises BuildError."""
    for name, record in records.items():
        if record is None or record["passed"]:
            continue
        measures = missed(record)
        raise BuildError(
            f"engine {name} missed its tolerance: {measures}",
            where=str(out),
            mend="Use a higher --precision, a smaller --block-size or another recipe, or"
            " --allow-inaccurate.",
        )


def finish_in_child(
    send: Send, folder: Path, checkpoint: Path, recipe: Recipe | None, judged: bool
) -> PartialManifest:
    """The child that runs the engines on recorded inputs."""
    from omnilive_export.accuracy.record import finish

    return finish(folder, checkpoint, recipe, lambda name: send("stage", name), judged=judged)


def verify_in_child(send: Send, folder: Path, checkpoint: Path) -> dict[str, dict[str, Any]]:
    """The child that judges the pack; the only one that imports torch."""
    from omnilive_export.verify.run import run

    return run(folder, checkpoint, lambda name: send("stage", f"verifying {name}"))


def write_manifest(folder: Path, manifest: PartialManifest) -> None:
    """Write the manifest of the pack in ``folder``."""
    (folder / MANIFEST_NAME).write_text(to_json(manifest), encoding="utf-8")
