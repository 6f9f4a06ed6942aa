"""Uses every engine of a pack as far as its plan says, and prints plan and growth as JSON.

A program of its own, so that its resident memory is its own: ``python plan_growth.py PACK``.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import numpy as np
import psutil

from omnilive.config import RuntimeConfig
from omnilive.engine.config import EngineConfig
from omnilive.engine.interface import KvArena
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.plan.demand import EngineDemand, lane_demands
from omnilive.plan.verdict import judge


def used(pack: EnginePack, demand: EngineDemand, config: RuntimeConfig) -> list[KvArena]:
    """Run one engine at its largest and fill its arenas; they are what must stay alive."""
    manifest = pack.manifest
    info = manifest.engines[demand.engine]
    if info.kv is None:
        items = {
            "mem_vit": 1,
            "mem_proj": config.segmentation.clip_max,
            "aud_enc": manifest.audio.max_samples,
            "vlm_vit": config.prompt.tiles_per_step,
            "mem_to_vlm": demand.rows,
        }[demand.engine]
        feed = info.inputs[0]
        shape = [items if isinstance(size, str) else size for size in feed.shape]
        pack.engine(demand.engine).run({feed.name: np.zeros(shape, feed.dtype)})
        return []
    decoder = pack.decoder(demand.engine)
    append = decoder.hidden if info.outputs[0].name == "hidden" else decoder.logits
    width = info.inputs[0].shape[-1]
    arenas = []
    for capacity in demand.arenas:
        arena = decoder.new_arena(capacity)
        arenas.append(arena)
        while arena.length < capacity:
            rows = min(demand.rows, capacity - arena.length)
            more = {"plora_rows": np.arange(rows)} if demand.engine == "vlm_lm" else {}
            append(arena, np.zeros((rows, width), np.float32), **more)
    return arenas


def main() -> None:
    """Plan, load, use, measure."""
    config = RuntimeConfig(engine=EngineConfig(threads=1))
    path = Path(sys.argv[1])
    process = psutil.Process()
    pack = open_pack(path, config=config.engine)
    plan = judge(pack.manifest, config).plan
    gc.collect()
    before = process.memory_info().rss
    arenas = [used(pack, d, config) for d in lane_demands(pack.manifest, config)]
    growth = process.memory_info().rss - before
    predicted = sum(row.bytes.total for row in plan.engines)
    held = sum(len(kept) for kept in arenas)
    json.dump({"predicted": predicted, "growth": growth, "arenas": held}, sys.stdout)


if __name__ == "__main__":
    main()
