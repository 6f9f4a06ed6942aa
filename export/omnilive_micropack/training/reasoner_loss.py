"""What the reasoner learns from: answers, early answers, where it looks, what tokens mean.

It computes losses and scores of one batch and takes no step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding, mse_loss

from omnilive_micropack.training.reasoner_batches import Batch
from omnilive_micropack.training.reasoner_model import Look, Reading, ReasonerNet
from omnilive_micropack.training.reasoner_start import LOOKUP_LAYERS
from omnilive_micropack.training.reasoner_views import FIELDS
from omnilive_micropack.training.towers import ClipTower, autocast, mix_2x2

EARLY_WEIGHT = 1.0
GUIDE_WEIGHT = 1.0
MEANING_WEIGHT = 0.6
MEETING_WEIGHT = 0.2
LEAST_MASS = 1e-4
ROOM_SHARE = 0.5
"""How much of an image token is its room, beside each word of the thing it shows."""


@dataclass(frozen=True, eq=False)
class Losses:
    """Parts of the loss of a batch, and the answers given: bool [B, Q], True where all is right."""

    answer: Tensor
    early: Tensor
    guide: Tensor
    meaning: Tensor
    right: Tensor

    def __str__(self) -> str:
        """Answer, early answer, guide and meaning, in short."""
        parts = (self.answer, self.early, self.guide, self.meaning)
        return " ".join(f"{float(part.detach()):.2f}" for part in parts)

    def total(self, help_: float) -> Tensor:
        """The sum; ``help_`` in [0, 1] scales what only helps learning."""
        aids = EARLY_WEIGHT * self.early + GUIDE_WEIGHT * self.guide + MEANING_WEIGHT * self.meaning
        return self.answer + help_ * aids


def features_of(tower: ClipTower, batch: Batch) -> Tensor:
    """What the tower makes of the tiles of a batch: [N, mixed width]."""
    with autocast():
        return mix_2x2(tower(batch.tiles)[-1][:, 1:]).flatten(0, 1)


def projected(net: ReasonerNet, features: Tensor, batch: Batch) -> Tensor:
    """Image tokens, separators and memory tokens of a batch: [N + 2 + M, W]."""
    glb, sub = net.plora_glb_GN.view(1, -1), net.plora_sub_GN.view(1, -1)
    image = net.vision_proj(torch.cat([features.to(glb.dtype), glb, sub]))
    return torch.cat([image, net.video_mem_proj(batch.memory.to(glb.dtype))])


def told(net: ReasonerNet, batch: Batch) -> Tensor:
    """The sum of the embeddings of the words of every row, [N + 2 + M, W]."""
    share = torch.ones(len(FIELDS))
    share[FIELDS.index("room")] = ROOM_SHARE
    table = net.model.tok_embeddings.weight
    share = (share * (batch.words > 0))[..., None].to(table.dtype)
    return (embedding(batch.words, table) * share).sum(1)


def read(net: ReasonerNet, batch: Batch, rows: Tensor) -> Reading:
    """What the tails are read as; ``rows`` [N + 2 + M, W] are embeds."""
    table = torch.cat([torch.zeros_like(rows[:1]), rows])
    words = net.model.tok_embeddings(batch.ids)
    is_word = (batch.rows == 0)[..., None].to(words.dtype)
    context = words * is_word + embedding(batch.rows, table)
    plora = batch.plora[..., None].to(words.dtype)
    return net.model(context, batch.lengths, plora, net.model.tok_embeddings(batch.tails))


def losses(
    net: ReasonerNet, tower: ClipTower, batch: Batch, fields: Mapping[str, Sequence[int]]
) -> Losses:
    """All losses of a batch; they reach into the tower where it takes gradients."""
    rows = told(net, batch)
    meaning = torch.zeros(())
    if len(batch.tiles):
        seen = projected(net, features_of(tower, batch), batch)
        rows = torch.where(batch.told[:, None], rows, seen)
        meaning = meaning_loss(net, seen, batch.words, fields)
    reading = read(net, batch, rows)
    answer, right = answer_loss(net, reading.hidden, batch.targets)
    return Losses(
        answer,
        _early_loss(net, reading, batch),
        _guide_loss(reading.looks, batch),
        meaning,
        right,
    )


def _early_loss(net: ReasonerNet, reading: Reading, batch: Batch) -> Tensor:
    """Cross entropy of the telling token before the answer, and at the last word halfway too."""
    early = batch.early >= 0
    late = cross_entropy(net.output(reading.hidden[early]).float(), batch.early[early])
    word = batch.looking > 0
    soon = cross_entropy(net.output(reading.halfway[word]).float(), batch.early[word])
    return late + soon


def answer_loss(net: ReasonerNet, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy of the targets, and which tails [B, Q] have every target right."""
    learned = targets >= 0
    logits = net.output(hidden[learned]).float()
    wrong = torch.zeros(targets.shape, dtype=torch.bool)
    wrong[learned] = logits.detach().argmax(-1) != targets[learned]
    return cross_entropy(logits, targets[learned]), ~wrong.any(-1)


def _guide_loss(looks: Sequence[Look], batch: Batch) -> Tensor:
    """-log of the attention that two heads give to where they should look.

    The question's last word first looks at the words that say what the question is about: without
    that it finds whatever its own word names, in any colour. Then it looks at what the question is
    about; what follows it looks at that word in the last layer, and so hands on what was found.
    """
    lost = torch.zeros(())
    for head in range(2):
        named = batch.named[:, :, head]
        mass = torch.einsum("bqts,bqs->bqt", looks[0].near[..., head, :].float(), named)
        lost = lost + _missed(mass, batch.looking * (named.sum(-1) > 0)[..., None])
    for layer in LOOKUP_LAYERS:
        for head in range(2):
            guide, far = batch.guides[:, :, head], looks[layer].far[..., head, :].float()
            mass = torch.einsum("bqtc,bqc->bqt", far, (guide > 0).float())
            each = torch.einsum("bqtc,bqc->bqt", far.clamp_min(LEAST_MASS).log(), guide)
            looked = torch.where(batch.even[..., None], each.exp(), mass)
            lost = lost + _missed(looked, batch.looking * (guide.sum(-1) > 0)[..., None])
    for head in range(2):
        near = looks[-1].near[..., head, :].float()
        mass = torch.einsum("bqts,bqs->bqt", near, batch.looking)
        lost = lost + _missed(mass, batch.passing)
    return lost / (2 * len(LOOKUP_LAYERS) + 4)


def _missed(mass: Tensor, weight: Tensor) -> Tensor:
    return (-mass.clamp_min(LEAST_MASS).log() * weight).sum() / weight.sum().clamp_min(1)


def meaning_loss(
    net: ReasonerNet, image: Tensor, words: Tensor, fields: Mapping[str, Sequence[int]]
) -> Tensor:
    """Each image token is near the words of what it shows; ``fields`` are sorted ids."""
    total = torch.zeros(())
    table = net.model.tok_embeddings.weight
    for index, name in enumerate(FIELDS):
        known = words[:, index] > 0
        if known.any():
            ids = torch.tensor(fields[name])
            classes = torch.searchsorted(ids, words[known, index])
            logits = image[known] @ table[ids].T
            total = total + cross_entropy(logits.float(), classes)
    return total / len(FIELDS)


def meeting_loss(
    net: ReasonerNet, tower: ClipTower, batch: Batch, fields: Mapping[str, Sequence[int]]
) -> Tensor:
    """How far every image and memory token is from the words of what it shows."""
    seen = projected(net, features_of(tower, batch), batch)
    apart = mse_loss(seen.float(), told(net, batch).detach().float())
    return apart + MEETING_WEIGHT * meaning_loss(net, seen, batch.words, fields)


class Scores:
    """Running share of right answers per kind, over about the last few hundred of each."""

    DECAY = 0.995

    def __init__(self) -> None:
        self._right: defaultdict[str, float] = defaultdict(float)
        self._all: defaultdict[str, float] = defaultdict(float)

    def add(self, kinds: Sequence[Sequence[str]], right: Tensor) -> None:
        """Count the answers of a batch, ``right`` bool [B, Q]."""
        for row, names in enumerate(kinds):
            for column, name in enumerate(names):
                self._right[name] = self._right[name] * self.DECAY + float(right[row, column])
                self._all[name] = self._all[name] * self.DECAY + 1

    def shares(self) -> dict[str, float]:
        """Right answers of all, by kind."""
        return {name: self._right[name] / self._all[name] for name in sorted(self._all)}
