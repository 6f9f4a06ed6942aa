"""Builds one TensorRT engine from an ONNX file; runs in a process of its own.

It never decides what an engine computes or in which precision: the graph says both, and the
network is strongly typed. TensorRT is imported when a build begins.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnilive.backends.tensorrt_log import Log, forwarding_logger
from omnilive.errors import BuildError, ConfigError
from omnilive_export.tensorrt.options import BuildOptions
from omnilive_export.tensorrt.profiles import Profile
from omnilive_export.tensorrt.versions import VersionFacts, version_facts

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class BuildTask:
    """One engine to build.

    Attributes:
        model: the ONNX file; its weights lie beside it.
        plan: the file to write.
        profiles: in the order the runtime counts them; the first owns the weights.
    """

    model: Path
    plan: Path
    profiles: tuple[Profile, ...]


def installed_version() -> str:
    """The version of the TensorRT that is installed. Raises ImportError when there is none."""
    import tensorrt as trt

    return trt.__version__


def build_engine(task: BuildTask, options: BuildOptions, log: Log) -> None:
    """Build the engine of ``task`` and write its plan, whole or not at all.

    Args:
        task: what to build.
        options: how.
        log: given each warning and error of TensorRT.

    Raises:
        SetupError: the installed TensorRT is too old.
        ConfigError: it has no such hardware compatibility level.
        BuildError: TensorRT refused the graph or a profile, or failed to build.
    """
    import tensorrt as trt

    facts = version_facts(trt.__version__)
    logger = forwarding_logger(log)
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(facts))
    # The parser owns the weights that the network points to: it must live until the plan is made.
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(task.model)):
        raise _error(f"TensorRT does not read it: {_parser_errors(parser)}", task.model)
    config = builder.create_builder_config()
    _set_options(config, options, facts)
    _add_profiles(builder, config, task)
    cache = _timing_cache(config, options.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _error("TensorRT could not build it", task.model)
    _replace(task.plan, memoryview(plan))
    if cache is not None and options.timing_cache is not None:
        _replace(options.timing_cache, memoryview(cache.serialize()))


def _network_flags(facts: VersionFacts) -> int:
    import tensorrt as trt

    if not facts.asks_for_strong_typing:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _parser_errors(parser: trt.OnnxParser) -> str:
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    return "; ".join(f"{e.node_operator()} {e.node_name()!r}: {e.desc()}" for e in errors)


def _set_options(config: trt.IBuilderConfig, options: BuildOptions, facts: VersionFacts) -> None:
    import tensorrt as trt

    if options.memory_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.memory_bytes)
        config.set_memory_pool_limit(trt.MemoryPoolType.TACTIC_DRAM, options.memory_bytes)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware not in facts.hardware_levels:
        raise ConfigError(
            f"TensorRT {facts.name} has no compatibility level {options.hardware}",
            where="--hardware",
            mend="Use another level, or build on each kind of GPU.",
        )
    if options.hardware != "NONE":
        level = trt.HardwareCompatibilityLevel.__members__[options.hardware]
        config.hardware_compatibility_level = level


def _add_profiles(builder: trt.Builder, config: trt.IBuilderConfig, task: BuildTask) -> None:
    for index, wanted in enumerate(task.profiles):
        profile = builder.create_optimization_profile()
        for name, shapes in wanted.shapes.items():
            profile.set_shape(name, min=shapes.least, opt=shapes.best, max=shapes.most)
        if index:
            # Weights laid out anew for a profile would be a second copy of them.
            profile.extra_memory_target = 0.0
        if config.add_optimization_profile(profile) != index:
            raise _error(f"TensorRT refuses the profile {wanted.name!r}", task.model)


def _timing_cache(config: trt.IBuilderConfig, path: Path | None) -> trt.ITimingCache | None:
    """The cache of ``path``, attached; an empty one where the file is of another TensorRT."""
    if path is None:
        return None
    stored = path.read_bytes() if path.is_file() else b""
    for content in (stored, b""):
        cache = config.create_timing_cache(content)
        if config.set_timing_cache(cache, ignore_mismatch=False):
            return cache
    raise _error("TensorRT takes no timing cache", path)


def _replace(path: Path, content: memoryview) -> None:
    """Write beside and rename, so that a killed build leaves no half file."""
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    with partial.open("wb") as file:
        file.write(content)
    partial.replace(path)


def _error(what: str, where: Path) -> BuildError:
    return BuildError(
        what,
        where=str(where),
        mend="See TensorRT's own messages above; --backend ort needs no TensorRT.",
    )
