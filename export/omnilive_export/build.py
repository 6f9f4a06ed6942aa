"""Builds an engine pack: plan and write in one child process, verify in another, then publish.

This side holds the lock, shows progress and renames; it never reads a weight and never imports
torch.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omnilive.engine.manifest import MANIFEST_NAME, PartialManifest, to_json
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.errors import BuildError, ConfigError, SetupError
from omnilive_export.child import Send, run_in_child
from omnilive_export.disk import check_space, disk_errors
from omnilive_export.engine_size import with_sizes
from omnilive_export.fingerprint import build_key, is_current, recipe_of, with_key
from omnilive_export.pack import check_target, partial_pack, publish
from omnilive_export.peak_memory import peak_rss_bytes
from omnilive_export.plan import plan_pack
from omnilive_export.planned import PackPlan
from omnilive_export.precision import PackPrecision
from omnilive_export.progress import BuildView
from omnilive_export.reading.checkpoint import CheckpointFolders, find_folders, hash_files
from omnilive_export.tensorrt.dialect import tensorrt_dialect, with_stored_kinds
from omnilive_export.tensorrt.options import BuildOptions
from omnilive_export.tensorrt.pack_builder import TENSORRT, build_pack_engines, check_request
from omnilive_export.verify.reference import REQUIRED
from omnilive_export.writing import PackFacts, with_accuracy, write_pack

_REPORT_SECONDS = 0.1
"""Shortest time between two progress messages of the child."""


@dataclass(frozen=True)
class BuildRequest:
    """What the user asked for.

    Attributes:
        checkpoint: folder with the three models, some of them, or one model.
        out: folder of the pack.
        precision: formats of its weights.
        backend: ``ort`` or ``tensorrt``.
        verify: compare every engine with its source.
        allow_inaccurate: publish even when an engine misses its tolerance.
        force: build even where the pack is up to date.
        arguments: options that make this request again, for the manifest; None if not known.
        tensorrt: options of that backend.
    """

    checkpoint: Path
    out: Path
    precision: PackPrecision
    backend: str
    verify: bool
    allow_inaccurate: bool
    force: bool = False
    arguments: tuple[str, ...] | None = None
    tensorrt: BuildOptions = field(default_factory=BuildOptions)


def build_pack(request: BuildRequest, view: BuildView) -> PartialManifest:
    """Build the pack and put it in its place, unless the one that is there has the same key.

    Returns:
        The manifest of the published pack, a partial one when the checkpoint lacks a model.

    Raises:
        CheckpointError: the checkpoint cannot be read or is not recognised.
        BuildError: the target is not a pack, the disk is full, the child was killed, or an engine
            missed its tolerance.
        SetupError: what verification or the backend needs is not installed.
        ConfigError: verification was asked for and its reference cannot read this checkpoint, or
            the backend has no such weights or options.
    """
    folders = find_folders(request.checkpoint)
    check_target(request.out)
    if request.backend == TENSORRT:
        check_request(request.precision, request.tensorrt, verify=request.verify)
    if request.verify:
        _check_verify_extra()
        _check_verifiable(folders)

    def waiting() -> None:
        view.note(f"{request.out}: another build of this pack is running; waiting for it to end")

    with disk_errors(request.out), partial_pack(request.out, waiting=waiting) as folder:
        on_message = _forward(view)
        where = str(request.out)
        if not run_in_child(write_in_child, (request, folder), on_message, where=where):
            view.note(f"{request.out}: up to date; --force builds it again")
            return read_partial_manifest(request.out)
        manifest = read_partial_manifest(folder)
        if request.backend == TENSORRT and not request.tensorrt.onnx_only:
            manifest = build_pack_engines(folder, manifest, request.tensorrt, on_message)
            _write_manifest(folder, manifest)
        if request.verify:
            judged = (folder, request.checkpoint)
            records = run_in_child(verify_in_child, judged, on_message, where=where)
            manifest = with_accuracy(manifest, records)
            _write_manifest(folder, manifest)
            if not request.allow_inaccurate:
                check_accuracy(records, request.out)
        publish(folder, request.out)
    return manifest


def check_accuracy(records: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Refuse a pack of which an engine missed its tolerance. Raises BuildError."""
    for name, record in records.items():
        if record["passed"]:
            continue
        measures = ", ".join(
            f"{measure} {record[measure]:.3g} (tolerance {limit:g})"
            for measure, limit in record["tolerance"].items()
        )
        raise BuildError(
            f"engine {name} missed its tolerance: {measures}",
            where=str(out),
            mend="Use a higher --precision or a smaller --block-size, or --allow-inaccurate.",
        )


def write_in_child(send: Send, request: BuildRequest, folder: Path) -> bool:
    """The child that plans and writes the pack, manifest included.

    Returns:
        Whether it wrote one: not where the pack in its place is up to date.
    """
    begun = time.monotonic()
    folders = find_folders(request.checkpoint)
    for warning in folders.warnings:
        send("note", f"{folders.root}: {warning}")
    report = _Reporter(send)
    facts = PackFacts(request.out.name, request.precision.name, request.backend)
    with ExitStack() as stack, disk_errors(request.out):
        plan = _plan(folders, request, stack)
        hasher = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        stop = threading.Event()
        stack.callback(stop.set)
        source = hasher.submit(hash_files, folders.root, plan.sources, stop)
        recipe = recipe_of(request)
        if not request.force and is_current(
            request.out,
            recipe,
            request.backend,
            source,
            stage=report.stage,
            verify=request.verify,
            allow_inaccurate=request.allow_inaccurate,
        ):
            return False
        check_space(plan.nbytes, folder, request.out)
        send("total", plan.cost)
        manifest = write_pack(
            plan,
            folder,
            facts,
            source,
            stage=report.stage,
            advance=report.advance,
        )
        build = {
            "seconds": round(time.monotonic() - begun, 3),
            "peak_rss_bytes": peak_rss_bytes(),
            "block_size": request.precision.blocks.block,
            "symmetric": request.precision.blocks.symmetric,
            "warnings": list(folders.warnings),
        }
        manifest = with_sizes(replace(manifest, build=build), plan.engines)
        key = build_key(recipe, request.backend, source.result())
        _write_manifest(folder, with_key(manifest, key, request.checkpoint, request.arguments))
    return True


def _plan(folders: CheckpointFolders, request: BuildRequest, stack: ExitStack) -> PackPlan:
    """The plan in the dialect of the backend."""
    precision = request.precision
    if request.backend != TENSORRT:
        return plan_pack(folders, precision, stack)
    plan = plan_pack(folders, precision, stack, new_graph=tensorrt_dialect(precision))
    return with_stored_kinds(plan, precision)


def verify_in_child(send: Send, folder: Path, checkpoint: Path) -> dict[str, dict[str, Any]]:
    """The child that judges the pack; the only one that imports torch."""
    from omnilive_export.verify.run import run

    return run(folder, checkpoint, lambda name: send("stage", f"verifying {name}"))


class _Reporter:
    """Tells stages at once, and adds up progress to tell it at most every _REPORT_SECONDS."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._pending = 0
        self._told = time.monotonic()

    def stage(self, name: str) -> None:
        """A part begins."""
        self._flush()
        self._send("stage", name)

    def advance(self, cost: int) -> None:
        """Values were read."""
        self._pending += cost
        if time.monotonic() - self._told >= _REPORT_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._send("advance", self._pending)
        self._pending = 0
        self._told = time.monotonic()


def _forward(view: BuildView) -> Callable[[str, Any], None]:
    actions: dict[str, Callable[[Any], None]] = {
        "total": view.total,
        "stage": view.stage,
        "advance": view.advance,
        "note": view.note,
    }
    return lambda kind, content: actions[kind](content)


def _check_verify_extra() -> None:
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"{' and '.join(missing)} not installed",
            where="--verify",
            mend="Run make install-test: it installs torch for the CPU and transformers.",
        )


def _check_verifiable(folders: CheckpointFolders) -> None:
    """Refuse early what the reference implementation cannot read as it is."""
    models = (folders.memory, folders.audio, folders.reasoner)
    if folders.adapter is not None:
        what = f"the reference does not merge {folders.adapter.name}/"
    elif folders.single is not None:
        what = "there is a reference of the family's three models only"
    elif any(f and not any(f.glob("*.safetensors")) for f in models):
        what = "the reference reads safetensors only"
    else:
        return
    raise ConfigError(
        what,
        where="--verify",
        mend="Merge or convert the checkpoint with its own library, or build without --verify.",
    )


def _write_manifest(folder: Path, manifest: PartialManifest) -> None:
    (folder / MANIFEST_NAME).write_text(to_json(manifest), encoding="utf-8")
