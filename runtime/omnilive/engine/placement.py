"""Which lane each engine belongs to, and whether it runs on a device. It never runs one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from omnilive.engine.config import CUDA, EngineConfig
from omnilive.engine.manifest import EngineInfo
from omnilive.scheduling.jobs import Lane

LANE_OF_ENGINE: Mapping[str, Lane] = MappingProxyType(
    {
        "mem_vit": Lane.SEE,
        "mem_proj": Lane.REMEMBER,
        "mem_lm": Lane.REMEMBER,
        "aud_enc": Lane.LISTEN,
        "aud_lm": Lane.LISTEN,
        "vlm_vit": Lane.REASON,
        "vlm_lm": Lane.REASON,
        "mem_to_vlm": Lane.REASON,
    }
)
"""The lane of the stage that each engine is part of: on a device, whose stream it runs on."""


def runs_on_device(info: EngineInfo, config: EngineConfig) -> bool:
    """Whether an engine runs on a GPU, on the stream of its lane."""
    return info.backend == "tensorrt" or config.device == CUDA


def lanes_on_device(engines: Mapping[str, EngineInfo], config: EngineConfig) -> frozenset[Lane]:
    """Lanes all of whose engines run on a GPU: their jobs keep no core busy for long."""
    on_cpu = {LANE_OF_ENGINE[n] for n, info in engines.items() if not runs_on_device(info, config)}
    return frozenset(LANE_OF_ENGINE[name] for name in engines) - on_cpu
