"""Turns the graphs of a pack into TensorRT engines, each built in a process of its own.

Memory that a build leaves behind ends with its process. It never touches a pack that is in place:
the folder is the partial one of a build.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx

from omnilive.engine.files import sha256_of
from omnilive.engine.manifest import EngineInfo, FileRecord, PartialManifest, TensorInfo
from omnilive.errors import ConfigError, SetupError
from omnilive_export.child import Send, run_in_child
from omnilive_export.precision import PackPrecision
from omnilive_export.tensorrt.dialect import check_precision
from omnilive_export.tensorrt.engine_builder import BuildTask, build_engine, installed_version
from omnilive_export.tensorrt.operators import check_operators
from omnilive_export.tensorrt.options import BuildOptions
from omnilive_export.tensorrt.profiles import Profile, decoder_profiles, encoder_profiles
from omnilive_export.tensorrt.versions import version_facts

TENSORRT = "tensorrt"
"""Name of the backend, and of the package that brings it."""

PLAN_NAME = "model.plan"

OnMessage = Callable[[str, Any], None]


def check_request(precision: PackPrecision, options: BuildOptions, *, verify: bool) -> None:
    """Refuse a build that could not end, before anything is read.

    Raises:
        ConfigError: TensorRT has no such weights, or verification was asked for.
        SetupError: TensorRT is not installed and engines are wanted.
    """
    check_precision(precision)
    if verify:
        raise ConfigError(
            "engines of TensorRT cannot be compared with their source yet",
            where="--verify",
            mend="Verify a pack built with --backend ort: the graphs compute the same.",
        )
    if not options.onnx_only and importlib.util.find_spec(TENSORRT) is None:
        raise SetupError(
            "TensorRT is not installed",
            where="--backend tensorrt",
            mend="Install NVIDIA's tensorrt for this device, or give --onnx-only to write the "
            "graphs alone; engines are built from the checkpoint, on the device.",
        )


def build_pack_engines(
    folder: Path, manifest: PartialManifest, options: BuildOptions, on_message: OnMessage
) -> PartialManifest:
    """Build every engine of the pack in ``folder`` and remove the graph it was built from.

    Args:
        folder: of the pack being built, its graphs written in the TensorRT dialect.
        manifest: of that pack.
        options: of the builds.
        on_message: given stages and notes.

    Returns:
        The manifest with the plans in place of the graphs.

    Raises:
        BuildError: TensorRT refused a graph or failed, or the child was killed.
        SetupError, ConfigError: the installed TensorRT cannot do what is asked.
    """
    # A sound shorter than one token makes no graph; every other axis may be one long.
    least = {} if manifest.audio is None else {"samples": manifest.audio.min_samples}
    engines = {}
    for name, info in manifest.engines.items():
        on_message("stage", f"building {name}")
        arguments = (folder, info, least, options)
        where = f"engine {name}"
        engines[name] = run_in_child(build_in_child, arguments, on_message, where=where)
    return dataclasses.replace(manifest, engines=engines)


def build_in_child(
    send: Send, folder: Path, info: EngineInfo, least: Mapping[str, int], options: BuildOptions
) -> EngineInfo:
    """The child that builds one engine; returns its new record."""
    begun = time.monotonic()
    model = folder / info.model
    plan = model.with_name(PLAN_NAME)
    graph = onnx.load(model, load_external_data=False)
    parser = version_facts(installed_version()).parser
    check_operators(graph, parser, where=f"engine {info.name}")
    task = BuildTask(model, plan, _profiles(graph, info, least))
    build_engine(task, options, lambda line: send("note", f"{info.name}: {line}"))
    for record in info.files:
        (folder / record.path).unlink()
    path = plan.relative_to(folder).as_posix()
    return dataclasses.replace(
        info,
        model=path,
        files=(FileRecord(path, plan.stat().st_size, sha256_of(plan)),),
        build_seconds=round(info.build_seconds + time.monotonic() - begun, 3),
    )


def _profiles(
    graph: onnx.ModelProto, info: EngineInfo, least: Mapping[str, int]
) -> tuple[Profile, ...]:
    inputs = [
        TensorInfo(
            value.name,
            "",  # profiles are about shapes
            tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
        )
        for value in graph.graph.input
    ]
    if info.kv is not None:
        return decoder_profiles(inputs, info.profile)
    return encoder_profiles(inputs, info.profile, least)
