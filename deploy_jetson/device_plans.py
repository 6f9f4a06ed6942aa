"""The memory plan of a full-size int4 pack under each configuration of ``configs/``, estimated.

``python deploy_jetson/device_plans.py [--pack engines/micro]``. No full-size pack is needed: the
manifest of a pack of the family is given the sizes of the real networks, and the arithmetic of
``omnilive plan`` does the rest. What is estimated is named under the table.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilive.config import RuntimeConfig, load_config
from omnilive.engine.manifest import EngineInfo, EngineSize, FileRecord, Manifest
from omnilive.engine.manifest_file import read_manifest
from omnilive.plan.machine import MachineMemory
from omnilive.plan.memory_plan import MemoryPlan, limits, plan_memory
from omnilive.plan.sizes import format_bytes, parse_bytes
from omnilive.plan.verdict import FRAME_SIZE
from omnilive.service.admission import sessions_that_fit
from omnilive_micropack.dimensions import FULL, AudioEncoderDims, FamilyDims, LmDims, VisionDims

CONFIGS = Path(__file__).resolve().parent / "configs"

BLOCK = 128
"""Weights of an int4 group that share a scale: ``build_engines.py --block-size 128``."""

FLOAT_BYTES = 4
SPECTRUM = 2 * (400 // 2 + 1) * 400
"""Values of the Fourier transform that is part of the audio encoder's graph."""

PROCESS = 85 << 20
"""Resident bytes of the process before anything is loaded, measured on x86-64."""

NOTES = (
    "Estimated: weights from the sizes of the networks at int4 and int8, float32 KV, onnxruntime",
    "on the CPU; the process as on x86-64. Embedding tables are mapped and not counted. No",
    "full-size pack was loaded for this; `omnilive plan` says it of a pack that is there.",
)


@dataclass(frozen=True)
class DevicePlan:
    """What a configuration gives.

    Attributes:
        plan: of one session.
        limit: bytes it may take; 0 for what is free.
        sessions: how many fit within the limit and ``max_sessions``.
    """

    name: str
    plan: MemoryPlan
    limit: int
    sessions: int


def sizes(dims: FamilyDims) -> dict[str, EngineSize]:
    """The size of every engine of a checkpoint of those dimensions, as the exporter records it."""
    memory, audio, reasoner = dims.memory_lm, dims.audio_lm, dims.reasoner_lm
    tower, eye, ear = dims.memory_tower, dims.reasoner_tower, dims.audio_encoder
    seen = tower.layers + 1 + dims.select_layer
    ears = 4 * ear.width**2 + 2 * ear.width * ear.mlp
    merged = eye.mixed_width * reasoner.width + reasoner.width**2
    mixed = tower.mixed_width
    return {
        "mem_vit": _vision(tower, seen),
        "mem_proj": EngineSize(
            {"rows": mixed * memory.width + memory.width**2}, 0, mixed, memory.width, 0
        ),
        "mem_lm": _decoder(memory),
        "aud_enc": EngineSize(
            {"rows": ear.layers * ears + _strided(ear) + ear.width * audio.width},
            ear.layers,
            ear.width,
            ear.mlp,
            ear.width,
        ),
        "aud_lm": _decoder(audio, head=True),
        "vlm_vit": _vision(eye, eye.layers, {"merged": merged}),
        "mem_to_vlm": EngineSize(
            {"rows": memory.width * reasoner.width + reasoner.width**2},
            0,
            memory.width,
            reasoner.width,
            0,
        ),
        "vlm_lm": _decoder(reasoner, head=True, plora_rank=dims.plora_rank),
    }


def resized(manifest: Manifest, dims: FamilyDims, block: int) -> Manifest:
    """``manifest`` of an int4 pack as one of ``dims`` would be, but for tables and tokenizers.

    Args:
        manifest: of any int4 pack of the family.
        dims: of the networks.
        block: weights that share a scale.
    """
    memory, audio, reasoner = dims.memory_lm, dims.audio_lm, dims.reasoner_lm
    decoders = {"mem_lm": memory, "aud_lm": audio, "vlm_lm": reasoner}
    return dataclasses.replace(
        manifest,
        name="full-size",
        memory=dataclasses.replace(
            manifest.memory,
            pixels=dims.memory_tower.pixels,
            grid=dims.memory_tower.pixels // dims.memory_tower.patch // 2,
            features=dims.memory_tower.mixed_width,
            cls=dims.memory_tower.width,
            slots=dims.slots,
            hidden=memory.width,
            vocab=memory.vocab,
            max_positions=memory.positions,
        ),
        audio=dataclasses.replace(
            manifest.audio,
            hidden=audio.width,
            vocab=audio.vocab,
            max_positions=audio.positions,
        ),
        reasoner=dataclasses.replace(
            manifest.reasoner,
            pixels=dims.reasoner_tower.pixels,
            grid=dims.reasoner_tower.pixels // dims.reasoner_tower.patch // 2,
            hidden=reasoner.width,
            vocab=reasoner.vocab,
            max_positions=reasoner.positions,
            max_new_tokens=dims.max_new_tokens,
        ),
        engines={
            name: _engine(
                manifest.engines[name], size, decoders.get(name), _kept(name, dims), block
            )
            for name, size in sizes(dims).items()
        },
    )


def device_plan(name: str, config: RuntimeConfig, manifest: Manifest) -> DevicePlan:
    """The plan of ``config`` for a machine whose memory is all shared with its GPU."""
    budget = config.memory_budget
    total = parse_bytes(budget.host, where="memory_budget.host") if budget.host else 0
    machine = MachineMemory(total, total, PROCESS)
    on_cpu = dataclasses.replace(config.engine, device="cpu")
    config = dataclasses.replace(config, engine=on_cpu)
    plan = plan_memory(manifest, config, machine, frame_size=FRAME_SIZE, backend_versions={})
    fitting = sessions_that_fit(plan, limits(budget, machine)) if total else 1
    return DevicePlan(name, plan, total, min(fitting, config.service.max_sessions))


def device_plans(manifest: Manifest) -> list[DevicePlan]:
    """One for each file of ``configs/``."""
    full = resized(manifest, FULL, BLOCK)
    return [
        device_plan(file.stem, load_config("edge", file), full)
        for file in sorted(CONFIGS.glob("*.toml"))
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(prog="device_plans.py", description=__doc__)
    parser.add_argument("--pack", type=Path, default=Path("engines/micro"), metavar="DIR")
    plans = device_plans(read_manifest(parser.parse_args(argv).pack))
    print("| configuration | weights | KV arenas | other | one session | budget | sessions |")
    print("|---|---|---|---|---|---|---|")
    for found in plans:
        weights = sum(row.bytes.weights for row in found.plan.engines)
        kv = sum(row.bytes.kv for row in found.plan.engines)
        cells = (weights, kv, found.plan.host - weights - kv, found.plan.host)
        limit = format_bytes(found.limit) if found.limit else "what is free"
        fits = str(found.sessions) if found.limit else "as fit"
        shown = " | ".join([*map(format_bytes, cells), limit, fits if fits != "0" else "none"])
        print(f"| `{found.name}` | {shown} |")
    print()
    print("\n".join(NOTES))
    return 0


def _strided(ear: AudioEncoderDims) -> int:
    """Weights of the two convolutions, three frames wide each, that stay float32."""
    return 3 * ear.mel_bins * ear.width + 3 * ear.width**2


def _decoder(lm: LmDims, *, head: bool = False, plora_rank: int = 0) -> EngineSize:
    packed = lm.width + 2 * lm.kv_heads * lm.head_dim
    layer = lm.width * packed + lm.width**2 + 3 * lm.width * lm.mlp
    ends = (lm.width + packed) + 2 * lm.width + 3 * (lm.width + lm.mlp)
    parameters = {"rows": lm.layers * layer}
    if head:
        parameters["head"] = lm.width * lm.vocab
    if plora_rank:
        parameters["plora"] = lm.layers * ends * plora_rank
    return EngineSize(parameters, lm.layers, lm.width, lm.mlp, lm.heads * lm.head_dim)


def _vision(tower: VisionDims, layers: int, more: dict[str, int] | None = None) -> EngineSize:
    layer = 4 * tower.width**2 + 2 * tower.width * tower.mlp
    rows = layers * layer + 3 * tower.patch**2 * tower.width
    return EngineSize({"rows": rows, **(more or {})}, layers, tower.width, tower.mlp, tower.width)


def _kept(name: str, dims: FamilyDims) -> int:
    """Values of an engine's graph that stay float32: positions, convolutions, the spectrum."""
    decoders = {"mem_lm": dims.memory_lm, "aud_lm": dims.audio_lm, "vlm_lm": dims.reasoner_lm}
    towers = {"mem_vit": dims.memory_tower, "vlm_vit": dims.reasoner_tower}
    if name in decoders:  # cosines and sines of half a head each
        return decoders[name].positions * decoders[name].head_dim
    if name in towers:
        tower = towers[name]
        return (tower.patches + 1) * tower.width + 3 * tower.patch**2 * tower.width
    ear = dims.audio_encoder
    positions = ear.source_positions * ear.width
    return SPECTRUM + positions + _strided(ear) if name == "aud_enc" else 0


def _engine(
    info: EngineInfo, size: EngineSize, lm: LmDims | None, kept: int, block: int
) -> EngineInfo:
    """``info`` of another size: blocks of a decoder in int4, all else in int8.

    A block of weights has a float32 scale.
    """
    scale = 32 / block
    rows = 4 if lm else 8
    bits = sum(n * (scale + (rows if kind == "rows" else 8)) for kind, n in size.parameters.items())
    kv = info.kv
    if lm and kv:
        kv = dataclasses.replace(
            kv,
            layers=lm.layers,
            kv_heads=lm.kv_heads,
            head_dim=lm.head_dim,
            max_positions=lm.positions,
        )
    file = FileRecord(info.model, round(bits / 8) + kept * FLOAT_BYTES, "")
    return dataclasses.replace(info, files=(file,), size=size, kv=kv)


if __name__ == "__main__":
    raise SystemExit(main())
