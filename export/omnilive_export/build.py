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
from functools import partial
from pathlib import Path
from typing import Any

from omnilive.engine.accuracy import inaccuracies
from omnilive.engine.config import CPU, CUDA
from omnilive.engine.manifest import RECIPE, PartialManifest
from omnilive.engine.manifest_file import read_partial_manifest
from omnilive.errors import ConfigError, SetupError
from omnilive_export.child import Send, run_in_child
from omnilive_export.disk import check_space, disk_errors
from omnilive_export.engine_size import with_sizes
from omnilive_export.fingerprint import build_key, is_current, recipe_of, with_key, work_key
from omnilive_export.graphs.layer_formats import LayerFormats
from omnilive_export.graphs.ort_cuda import OrtCudaGraph
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.judging import (
    check_accuracy,
    finished,
    joined_records,
    verify_in_child,
    write_manifest,
)
from omnilive_export.pack import check_target, partial_pack, publish
from omnilive_export.peak_memory import peak_rss_bytes
from omnilive_export.plan import plan_pack
from omnilive_export.planned import PackPlan
from omnilive_export.precision import CALIBRATED, RTN, PackPrecision
from omnilive_export.progress import BuildView
from omnilive_export.quality_table import add_quality, check_quality
from omnilive_export.quantizing.kept import KeptTensors, discard_kept, kept_noted
from omnilive_export.quantizing.moments import read_calibration
from omnilive_export.quantizing.quantizer import BlockQuantizer
from omnilive_export.reading.checkpoint import CheckpointFolders, find_folders, hash_files
from omnilive_export.recipe import Recipe
from omnilive_export.tensorrt.dialect import tensorrt_dialect, with_stored_kinds
from omnilive_export.tensorrt.options import BuildOptions
from omnilive_export.tensorrt.pack_builder import TENSORRT, build_pack_engines, check_request
from omnilive_export.verify.reference import REQUIRED
from omnilive_export.writing import PackFacts, with_accuracy, with_quantizers, write_pack

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
        calibration: activation statistics, for int4 blocks that are calibrated.
        arguments: options that make this request again, for the manifest; None if not known.
        tensorrt: options of that backend.
        recipe: what ``precision`` and ``backend`` come from, with its limits and tolerances; None
            for a build by flags.
        measure: measure how far every engine is from the float32 graph of its source.
        quality: run the quality benchmark on the pack and keep its table in it.
        device: of the ``ort`` backend: ``cpu``, or ``cuda``, whose packs the CPU runs as well.
    """

    checkpoint: Path
    out: Path
    precision: PackPrecision
    backend: str
    verify: bool
    allow_inaccurate: bool
    force: bool = False
    calibration: Path | None = None
    arguments: tuple[str, ...] | None = None
    tensorrt: BuildOptions = field(default_factory=BuildOptions)
    recipe: Recipe | None = None
    measure: bool = False
    quality: bool = False
    device: str = CPU


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
    if request.quality:
        check_quality(request.backend)
    if request.verify:
        _check_verify_extra()
        _check_verifiable(folders, request.recipe)

    def waiting() -> None:
        view.note(f"{request.out}: another build of this pack is running; waiting for it to end")

    check_calibration(request)
    with (
        disk_errors(request.out),
        partial_pack(request.out, waiting=waiting) as folder,
        kept_noted(request.out, view.note),
    ):
        on_message = _forward(view)
        where = str(request.out)
        if not run_in_child(write_in_child, (request, folder), on_message, where=where):
            discard_kept(request.out)
            view.note(f"{request.out}: up to date; --force builds it again")
            return read_partial_manifest(request.out)
        manifest = finished(request, folder, on_message)
        if request.backend == TENSORRT and not request.tensorrt.onnx_only:
            manifest = build_pack_engines(folder, manifest, request.tensorrt, on_message)
            write_manifest(folder, manifest)
        if request.verify:
            judged = (folder, request.checkpoint)
            verified = run_in_child(verify_in_child, judged, on_message, where=where)
            manifest = with_accuracy(manifest, joined_records(manifest, verified))
            write_manifest(folder, manifest)
        if not request.allow_inaccurate:
            records = {name: engine.accuracy for name, engine in manifest.engines.items()}
            check_accuracy(records, request.out)
        if request.quality and list(inaccuracies(manifest.engines)):
            view.note(f"{request.out}: no quality table: an engine missed its tolerance")
        elif request.quality:
            add_quality(folder, manifest, lambda name: on_message("stage", name))
        publish(folder, request.out)
        discard_kept(request.out)
    return manifest


def check_calibration(request: BuildRequest) -> None:
    """Refuse statistics without a use, and a use without statistics.

    Raises:
        ConfigError: one of the two, or a file that holds none.
    """
    calibrated = CALIBRATED in request.precision.methods
    if request.calibration is not None:
        if not calibrated:
            raise ConfigError(
                "nothing is calibrated",
                where="--calibration",
                mend=f"Add --quantizer {CALIBRATED}, or leave it out.",
            )
        read_calibration(request.calibration)
    elif calibrated:
        raise ConfigError(
            "needs statistics of the activations, which no checkpoint brings",
            where=f"--quantizer {CALIBRATED}",
            mend="Give a file of them with --calibration (for the miniature, "
            "python -m omnilive_micropack.activations makes one), or use --quantizer hqq.",
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
        recipe = recipe_of(request)
        quantizer = _quantizer(request, recipe)
        plan = _plan(folders, request, quantizer, stack)
        hasher = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        stop = threading.Event()
        stack.callback(stop.set)
        source = hasher.submit(hash_files, plan.named_sources(folders.root), stop)
        if not request.force and is_current(
            request.out,
            recipe,
            request.backend,
            source,
            stage=report.stage,
            verify=request.verify,
            measure=request.measure,
            quality=request.quality,
            allow_inaccurate=request.allow_inaccurate,
        ):
            return False
        check_space(plan.nbytes + quantizer.bytes_to_keep(), folder, request.out)
        send("total", plan.cost)
        manifest = write_pack(
            plan,
            folder,
            facts,
            source,
            stage=report.stage,
            advance=report.advance,
        )
        build: dict[str, Any] = {
            "seconds": round(time.monotonic() - begun, 3),
            "peak_rss_bytes": peak_rss_bytes(),
            "block_size": request.precision.blocks.block,
            "symmetric": request.precision.blocks.symmetric,
            "warnings": list(folders.warnings),
        }
        if request.recipe is not None:
            build[RECIPE] = request.recipe.as_json()
        manifest = with_quantizers(replace(manifest, build=build), request.precision)
        manifest = with_sizes(manifest, plan.engines)
        key = build_key(recipe, request.backend, source.result())
        write_manifest(folder, with_key(manifest, key, request.checkpoint, request.arguments))
    return True


def _quantizer(request: BuildRequest, recipe: Mapping[str, Any]) -> BlockQuantizer:
    """The quantizer of a build, which keeps what is slow to make for the next one."""
    calibration = None if request.calibration is None else read_calibration(request.calibration)
    if request.precision.methods <= {RTN}:
        discard_kept(request.out)
        return BlockQuantizer(calibration)
    return BlockQuantizer(calibration, KeptTensors(request.out, work_key(recipe)))


def _plan(
    folders: CheckpointFolders, request: BuildRequest, quantizer: BlockQuantizer, stack: ExitStack
) -> PackPlan:
    """The plan in the dialect of the backend."""
    precision = request.precision
    formats = LayerFormats(precision.kept)
    limits = None if request.recipe is None else request.recipe.limits
    models = None if request.recipe is None else request.recipe.models
    if request.backend == TENSORRT:
        new_graph = tensorrt_dialect(precision, formats)
        plan = plan_pack(
            folders, precision, stack, new_graph=new_graph, limits=limits, models=models
        )
        plan = with_stored_kinds(plan, precision)
    else:
        dialect = OrtCudaGraph if request.device == CUDA else OrtGraph
        plan = plan_pack(
            folders,
            precision,
            stack,
            new_graph=partial(dialect, quantizer=quantizer, formats=formats),
            limits=limits,
            models=models,
        )
    _check_kept(formats, request)
    return plan


def _check_kept(formats: LayerFormats, request: BuildRequest) -> None:
    """Refuse a recipe that names layers which are not there: it was written for another model."""
    unused = formats.unused()
    if unused:
        raise ConfigError(
            f"this checkpoint has no layer {unused[0]!r}",
            where="recipe" if request.recipe is None else f"recipe {request.recipe.name}: keep",
            mend="Layers are ENGINE.layers.N.PART with the parts qkv, attention_out, fc1, fc2, or"
            " gate, up, down of a decoder; N counts from 0.",
        )


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


def _check_verifiable(folders: CheckpointFolders, recipe: Recipe | None) -> None:
    """Refuse early what the reference implementation cannot read as it is."""
    models = (folders.memory, folders.audio, folders.reasoner)
    if folders.adapter is not None:
        what = f"the reference does not merge {folders.adapter.name}/"
    elif folders.single is not None:
        what = "there is a reference of the family's three models only"
    elif any(f and not any(f.glob("*.safetensors")) for f in models):
        what = "the reference reads safetensors only"
    elif recipe is not None and recipe.models:
        raise ConfigError(
            f"the reference reads the checkpoint's own {', '.join(recipe.models)}",
            where="--verify",
            mend="Leave it out: the accuracy record compares with the swapped folders themselves.",
        )
    else:
        return
    raise ConfigError(
        what,
        where="--verify",
        mend="Merge or convert the checkpoint with its own library, or build without --verify.",
    )
