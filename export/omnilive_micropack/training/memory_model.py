"""The memory model as it is trained: projector, compressor, integration, question feature.

The formulas of spec §2.2 to §2.5 over a whole batch at once; a test holds them against the plain
reference. It knows no labels and takes no step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.training import memory_language
from omnilive_micropack.training.memory_language import MemoryLanguage

CLIPS_AT_ONCE = 16
"""Clips of about equal length that are compressed together, so that little of it is padding."""


@dataclass(frozen=True, eq=False)
class ClipInput:
    """One clip: features [T, g², F] of its frames, and the ids of the text before them."""

    features: Tensor
    text: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ClipMemories:
    """Clips compressed.

    Attributes:
        short_term: H [slots·T, C] of each.
        global_memory: all Ĥ [K, C].
        patches: states [g²·T, C] of each clip's own features before the last layer, from which Ĥ
            is gathered; empty where they are not known.
    """

    short_term: list[Tensor]
    global_memory: Tensor
    patches: list[Tensor] = field(default_factory=list)


class Projector(nn.Module):
    """``mm_projector``: linear, GELU, linear, on features brought to mean 0 and spread 1.

    The tower's are several times as large, and so is then every step of a weight that reads 512 of
    them: nothing would be learned. ``tensors`` moves the scaling into the first linear.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(()))

    def measure(self, features: Tensor) -> None:
        """Set the scaling from features [..., F] like those to come."""
        rows = features.float().flatten(0, -2)
        self.mean.copy_(rows.mean(dim=0))
        self.spread.copy_((rows - self.mean).pow(2).mean().sqrt())

    def forward(self, features: Tensor) -> Tensor:
        """[..., F] → [..., C]."""
        return self.second(F.gelu(self.first((features - self.mean) / self.spread)))

    def set_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what ``tensors`` gave, under the scaling measured before."""
        with torch.no_grad():
            weight = tensors["0.weight"].float()
            self.first.weight.copy_(weight * self.spread)
            self.first.bias.copy_(tensors["0.bias"].float() + weight @ self.mean)
            self.second.weight.copy_(tensors["2.weight"])
            self.second.bias.copy_(tensors["2.bias"])

    def tensors(self) -> dict[str, Tensor]:
        """Weights and biases by their names below ``mlp.``, for the tower's own features."""
        weight = self.first.weight.detach() / self.spread
        return {
            "0.weight": weight,
            "0.bias": self.first.bias.detach() - weight @ self.mean,
            "2.weight": self.second.weight.detach(),
            "2.bias": self.second.bias.detach(),
        }


class MemoryModel(nn.Module):
    """Everything of ``memory/`` but the tower."""

    def __init__(self, dims: FamilyDims) -> None:
        super().__init__()
        width, inputs = dims.memory_lm.width, dims.memory_tower.mixed_width
        self.side = round(dims.slots**0.5)
        self.language = MemoryLanguage(dims.memory_lm)
        self.projector = Projector(inputs, width)

    def compress(self, clips: Sequence[ClipInput]) -> ClipMemories:
        """H and Ĥ of every clip (spec §2.3)."""
        order = sorted(range(len(clips)), key=lambda i: len(clips[i].features))
        short: dict[int, Tensor] = {}
        globals_: dict[int, Tensor] = {}
        patches: dict[int, Tensor] = {}
        for start in range(0, len(order), CLIPS_AT_ONCE):
            group = order[start : start + CLIPS_AT_ONCE]
            rows = [self._embeds(clips[i]) for i in group]
            hidden, before = self.language.states(pad_sequence(rows, batch_first=True))
            for row, i in enumerate(group):
                end = len(rows[row])
                slots = len(clips[i].features) * self.side**2
                short[i] = hidden[row, end - 1 - slots : end - 1]
                globals_[i] = hidden[row, end - 1]
                patches[i] = before[row, len(clips[i].text) : end - 1 - slots]
        indices = range(len(clips))
        return ClipMemories(
            [short[i] for i in indices],
            torch.stack([globals_[i] for i in indices]),
            [patches[i] for i in indices],
        )

    def pooled(self, features: Tensor) -> Tensor:
        """Slots and the global mean [slots·T + 1, F] of features [T, g², F] (spec §2.2)."""
        frames, tokens, width = features.shape
        cell = round(tokens**0.5) // self.side
        maps = features.view(frames, self.side, cell, self.side, cell, width)
        slots = maps.mean(dim=(2, 4)).reshape(-1, width)
        return torch.cat([slots, features.mean(dim=(0, 1))[None]])

    def _embeds(self, clip: ClipInput) -> Tensor:
        rows = torch.cat([clip.features.flatten(0, 1), self.pooled(clip.features)])
        text = self.language.embed_tokens(torch.tensor(clip.text))
        return torch.cat([text, self.projector(rows).to(text.dtype)])

    def integrate(self, short_term: Sequence[Tensor], global_memory: Tensor) -> Tensor:
        """Long-term memory [K, C]: [H_1 … H_K, Ĥ_1 … Ĥ_K] in, the last K out (spec §2.4)."""
        if not short_term:
            return global_memory
        rows = torch.cat([*short_term, global_memory])
        return self.language(rows[None])[0, -len(global_memory) :]

    def question_features(self, long_term: Tensor, questions: Sequence[Sequence[int]]) -> Tensor:
        """Features [Q, C] of tokenized questions after the same long-term memory (spec §2.5).

        A long-term memory [Q, K, C] is one of its own for each question.
        """
        ids = pad_sequence([torch.tensor(q) for q in questions], batch_first=True)
        words = self.language.embed_tokens(ids)
        before = long_term if long_term.ndim == 3 else long_term.expand(len(ids), -1, -1)
        hidden = self.language(torch.cat([before.to(words.dtype), words], dim=1))
        last = torch.tensor([before.shape[1] + len(q) - 1 for q in questions])
        return hidden[torch.arange(len(ids)), last]


def cosines(features: Tensor, globals_: Tensor) -> Tensor:
    """Cosine [Q, K] of question features [Q, C] with clips [K, C]."""
    return F.normalize(features.float(), dim=-1) @ F.normalize(globals_.float(), dim=-1).T


def start(model: MemoryModel, generator: torch.Generator) -> None:
    """Random values to train from, drawn from ``generator``."""
    memory_language.start(model.language, generator)
    with torch.no_grad():
        for layer in (model.projector.first, model.projector.second):
            layer.weight.normal_(0.0, layer.in_features**-0.5, generator=generator)
            layer.bias.zero_()
