"""Lanes on a GPU: how long frames wait while the reasoner decodes and prefills beside them.

Everything is measured twice: with the priorities that the lanes' streams have, and with one
priority for all of them. It needs a device, and says so where there is none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lane_bars import Row
from lane_loads import Steps, Watched, prefill_steps, watch
from omnilive.engine.backends import device_lanes
from omnilive.engine.config import CUDA, EngineConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.engine.placement import lanes_on_device
from omnilive.lanes import Lane, Work
from omnilive.scheduling.threads import PRIORITY

DECODED_TOKENS = 1024
"""After so many the arena is emptied, and decoding begins anew."""

ALL_LAST: Mapping[Lane, int] = dict.fromkeys(Lane, len(Lane))
"""Every stream as unimportant as the last."""


def device_rows(
    path: Path, threads: int, frames: int, fps: float, say: Callable[[str], None]
) -> list[Row]:
    """Measure the pack at ``path`` on the device.

    Raises:
        SetupError: there is no CUDA, or no onnxruntime that uses it.
        PackError: the pack was not built for it.
        EngineError: the device cannot be used.
    """
    config = EngineConfig(threads=threads, device=CUDA)
    loads = {"decoding": token_steps, "a 4 k prefill": prefill_steps}
    waits: dict[tuple[str, bool], Watched] = {}
    with contextlib.closing(open_pack(path, config=config)) as opened:
        on_device = lanes_on_device(opened.manifest.engines, config)
        for prioritized in (False, True):
            ranks = PRIORITY if prioritized else ALL_LAST
            pack = EnginePack(
                opened.path,
                opened.manifest,
                config,
                opened.calibration,
                lanes_of=lambda given, ranks=ranks: device_lanes(given, ranks),
            )
            with contextlib.closing(pack):
                pack.engine("mem_vit")
                for name, steps in loads.items():
                    kind = "priorities" if prioritized else "one priority"
                    say(f"frames during {name}, {kind}: {frames / fps:.0f} s")
                    waits[name, prioritized] = watch(
                        pack, Lane.REASON, steps(pack)(), threads, frames, fps, on_device
                    )
    return [row for name in loads for row in compared(name, waits[name, False], waits[name, True])]


def compared(name: str, flat: Watched, prioritized: Watched) -> list[Row]:
    """Waits under one load; with priorities their p99 may not be larger than without."""
    without = Row(f"frame → feature during {name}, one priority", "ms", _ms(flat), "p99")
    bar = without.summary.p99 if without.summary else 0.0
    lost = float(flat.lost + prioritized.lost)
    return [
        without,
        Row(
            f"frame → feature during {name}, stream priorities", "ms", _ms(prioritized), "p99", bar
        ),
        Row(f"frames lost during {name}", "frames", (lost,), "maximum", 0.0),
    ]


def token_steps(pack: EnginePack) -> Callable[[], Steps]:
    """The pack's reasoner, a token a step, again and again."""
    decoder, arena = pack.decoder("vlm_lm"), pack.decoder("vlm_lm").new_arena(DECODED_TOKENS)
    inputs = pack.manifest.engines["vlm_lm"].inputs
    width = next(int(t.shape[-1]) for t in inputs if t.name == "inputs_embeds")
    token = np.full((1, width), 0.01, np.float32)

    def steps() -> Steps:
        while True:
            if arena.length == DECODED_TOKENS:
                arena.truncate(0)
            decoder.logits(arena, token)
            yield Work(None, 0)

    return steps


def _ms(watched: Watched) -> tuple[float, ...]:
    return tuple(us / 1e3 for us in watched.waits_us)
