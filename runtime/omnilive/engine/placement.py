"""Which lane each engine belongs to. It never runs one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
