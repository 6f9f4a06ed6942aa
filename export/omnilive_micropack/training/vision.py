"""Stage ``vision``: trains the reasoner's tower, then the memory's from it, on patch labels.

It writes ``towers/reasoner.safetensors`` and ``towers/memory.safetensors`` with the checkpoint's
tensor names, which the later stages read. It never sees a test seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from omnilive_micropack.dimensions import MICRO, FamilyDims
from omnilive_micropack.seeds import CALIBRATION_SEEDS, TRAINING_SEEDS, generator
from omnilive_micropack.training import towers
from omnilive_micropack.training.common import Bar, Progress, Saver, cosine_rate, prepare
from omnilive_micropack.training.towers import ClipTower, autocast
from omnilive_micropack.training.vision_data import VisionBatch, memory_batch, reasoner_batch
from omnilive_micropack.training.vision_heads import (
    PatchHeads,
    patch_accuracies,
    patch_loss,
    room_loss,
)
from omnilive_micropack.training.vision_labels import ROOM

REASONER_PREFIX = "vit.vision_tower.vision_model."
MEMORY_PREFIX = "model.vision_tower.vision_tower.vision_model."
EARLIER_LAYER_WEIGHT = 0.3
"""Of the loss read one layer before the reasoner's last: the memory's tower begins from there."""

ROOM_WEIGHT = 1.0
CLIP_NORM = 1.0
DECAY = 0.05
CHECKED_AT_ONCE = 64
SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class TowerPlan:
    """How one tower is trained.

    Attributes:
        layer: hidden state that is read (spec §1.3, §1.7).
        batch: pictures a step.
        check_every: steps from one look at the accuracies to the next.
        check_pictures: pictures they are looked at on.
    """

    name: str
    prefix: str
    layer: int
    steps: int
    batch: int = 32
    rate: float = 1.5e-3
    check_every: int = 200
    check_pictures: int = 256


PLANS = (
    TowerPlan("reasoner", REASONER_PREFIX, -1, 3000),
    TowerPlan("memory", MEMORY_PREFIX, MICRO.select_layer, 1300),
)
"""The reasoner's reads frames in any place and size of a stitched picture: it takes longer."""


class TowerTrainer:
    """One tower, its heads and its optimizer, from a step to the next.

    Batches follow from the seed and the step alone, so that a run taken up again goes on as if it
    had never stopped.
    """

    def __init__(self, dims: FamilyDims, plan: TowerPlan, seed: int) -> None:
        """Begin at step 0 with random weights."""
        vision = dims.reasoner_tower if plan.layer == -1 else dims.memory_tower
        self._vision = vision
        self._plan = plan
        self._seed = seed
        torch.manual_seed(seed)
        draws = torch.Generator().manual_seed(seed)
        self.tower = ClipTower(vision)
        towers.start(self.tower, draws)
        self.heads = PatchHeads(vision.width)
        self.earlier_heads = PatchHeads(vision.width)
        parts = nn.ModuleList([self.tower, self.heads, self.earlier_heads])
        decayed = [p for p in parts.parameters() if p.ndim > 1]
        others = [p for p in parts.parameters() if p.ndim == 1]
        self.parts = parts
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
            lr=plan.rate,
            betas=(0.9, 0.98),
        )

    def batch(self, step: int) -> VisionBatch:
        """The batch of a step."""
        rng = generator(self._seed, f"vision {self._plan.name} {step}")
        make = reasoner_batch if self._plan.layer == -1 else memory_batch
        return make(rng, self._vision, self._plan.batch)

    def take(self, step: int) -> float:
        """Take a step of the plan; return its loss."""
        rate = self._plan.rate
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_rate(step, self._plan.steps, self._plan.steps // 20, rate)
        loss = self._loss(self.batch(step))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parts.parameters(), CLIP_NORM)
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, batch: VisionBatch) -> Tensor:
        labels = torch.from_numpy(batch.labels)
        with autocast():
            states = self.tower(torch.from_numpy(batch.images))
            logits = self.heads(states[self._plan.layer][:, 1:])
            earlier = self.earlier_heads(states[-2][:, 1:]) if self._plan.layer == -1 else None
        loss = patch_loss(logits, labels)
        if earlier is not None:
            return loss + EARLIER_LAYER_WEIGHT * patch_loss(earlier, labels)
        rooms = labels[..., ROOM].amax(dim=1)
        return loss + ROOM_WEIGHT * room_loss(states[self._plan.layer][:, 0], rooms)

    def accuracies(self) -> dict[str, float]:
        """Accuracy of each patch label on pictures of calibration seeds."""
        found: dict[str, list[float]] = {}
        make = reasoner_batch if self._plan.layer == -1 else memory_batch
        with torch.no_grad(), autocast():
            for start in range(0, self._plan.check_pictures, CHECKED_AT_ONCE):
                rng = generator(self._seed, f"vision check {start}")
                size = min(CHECKED_AT_ONCE, self._plan.check_pictures - start)
                batch = make(rng, self._vision, size, CALIBRATION_SEEDS)
                patches = self.tower(torch.from_numpy(batch.images))[self._plan.layer][:, 1:]
                scores = patch_accuracies(self.heads(patches), torch.from_numpy(batch.labels))
                for name, value in scores.items():
                    found.setdefault(name, []).append(value)
        return {name: round(float(np.mean(values)), 4) for name, values in found.items()}

    def tensors(self) -> dict[str, Tensor]:
        """The tower's bfloat16 tensors under the checkpoint's names."""
        return {
            self._plan.prefix + name: tensor.to(torch.bfloat16).contiguous()
            for name, tensor in self.tower.state_dict().items()
        }


def load_tower(path: Path, dims: FamilyDims, name: str) -> ClipTower:
    """A tower that ``run`` wrote, by its name: ``reasoner`` or ``memory``."""
    vision, prefix = {
        "reasoner": (dims.reasoner_tower, REASONER_PREFIX),
        "memory": (dims.memory_tower, MEMORY_PREFIX),
    }[name]
    tower = ClipTower(vision)
    tensors = load_file(path)
    tower.load_state_dict({k.removeprefix(prefix): v.float() for k, v in tensors.items()})
    return tower.eval().requires_grad_(False)


def run(
    out: Path,
    *,
    seed: int = TRAINING_SEEDS.start,
    threads: int = 1,
    dims: FamilyDims = MICRO,
    plans: Sequence[TowerPlan] = PLANS,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train the towers, each going on from where an earlier run of ``out`` stopped.

    Args:
        out: gets ``towers/``, ``card/vision.json`` and, while training, ``state/``.
        seed: of weights and pictures.
        threads: of torch.
        dims: sizes of the family.
        plans: the towers to train; the card keeps what it says of others.
        tell: hears of every look at the accuracies, once it is safe to stop.

    Returns:
        The card: seeds, counts, minutes, curves and accuracies.
    """
    prepare(seed, threads)
    path = out / "card" / "vision.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    card: dict[str, Any] = {"stage": "vision", "towers": {}}
    if path.exists():
        card = json.loads(path.read_text(encoding="utf-8"))
    for plan in plans:
        card["towers"][plan.name] = _train(out, TowerTrainer(dims, plan, seed), plan, seed, tell)
        path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def _train(
    out: Path, trainer: TowerTrainer, plan: TowerPlan, seed: int, tell: Callable[[Progress], None]
) -> dict[str, Any]:
    saver = Saver(out / "state" / f"vision-{plan.name}.pt", SAVE_SECONDS)
    parts = {"parts": trainer.parts, "optimizer": trainer.optimizer}
    progress = saver.load(parts)
    bar = Bar(f"vision {plan.name}", plan.steps)
    before_s, begun = progress.seconds, time.monotonic()
    while progress.step < plan.steps:
        loss = trainer.take(progress.step)
        progress.step += 1
        progress.seconds = before_s + time.monotonic() - begun
        look = progress.step == plan.steps or progress.step % plan.check_every == 0
        if look:
            progress.curve.append({"step": progress.step, "loss": loss, **trainer.accuracies()})
            (out / "towers").mkdir(exist_ok=True)
            save_file(trainer.tensors(), out / "towers" / f"{plan.name}.safetensors")
        bar.show(progress, str(progress.curve[-1]) if look else f"loss {loss:.3f}", now=look)
        saver.save(parts, progress, now=look)
        if look:
            tell(progress)
    return {
        "seed": seed,
        "pictures": plan.steps * plan.batch,
        "minutes": round(progress.seconds / 60, 1),
        "curve": progress.curve,
    }
