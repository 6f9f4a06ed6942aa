"""One step of training the memory: a lesson in, all its losses out, the weights moved.

Retrieval is learned as it is used: softmax of cosines over the clips, at temperature 0.1 (spec
§2.5), against clips of the same world and, for questions that name a thing, recent clips of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive.memory.config import RetrievalConfig
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.training import memory_heads, memory_model
from omnilive_micropack.training.memory_batches import Lesson
from omnilive_micropack.training.memory_cards import Cards
from omnilive_micropack.training.memory_data import EncodedClip, clip_text
from omnilive_micropack.training.memory_heads import MemoryHeads
from omnilive_micropack.training.memory_losses import clip_bits, surprise
from omnilive_micropack.training.memory_model import (
    ClipInput,
    ClipMemories,
    MemoryModel,
    cosines,
)
from omnilive_micropack.training.memory_others import OtherClips
from omnilive_micropack.training.towers import autocast
from omnilive_micropack.vocabulary import COLOURS

TEMPERATURE = RetrievalConfig().temperature
SLOT_WEIGHT, GLOBAL_WEIGHT, LONG_WEIGHT, LIKE_WEIGHT, ASKED_WEIGHT = 0.5, 1.0, 0.25, 0.3, 2.0
KEEP_WEIGHT = 5.0
DECAY = 0.05
CLIP_NORM = 1.0

Tokenize = Callable[[str], list[int]]


class Earlier(nn.Module):
    """The model as it once was, and whether H must stay like its H."""

    keeps: Tensor

    def __init__(self, dims: FamilyDims) -> None:
        super().__init__()
        self.model = MemoryModel(dims).requires_grad_(False)
        self.register_buffer("keeps", torch.zeros((), dtype=torch.bool))


class MemoryTrainer:
    """The model, its heads and its optimizer."""

    def __init__(self, dims: FamilyDims, seed: int, tokenize: Tokenize) -> None:
        torch.manual_seed(seed)
        self._tokenize = tokenize
        self.rate = 0.0
        self.model = MemoryModel(dims)
        memory_model.start(self.model, torch.Generator().manual_seed(seed))
        self.heads = MemoryHeads(dims.memory_lm.width)
        memory_heads.start(self.heads)
        self.others = OtherClips(dims.memory_lm.width)
        self.earlier = Earlier(dims)
        self.parts = nn.ModuleList([self.model, self.heads, self.others, self.earlier])
        parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
                {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=0.0,
            betas=(0.9, 0.98),
        )

    def take(self, lesson: Lesson) -> dict[str, float]:
        """Learn one lesson at ``rate``; return its losses by name."""
        return self._move(self._losses(lesson))

    def take_projector(self, clips: list[EncodedClip]) -> dict[str, float]:
        """Teach the projector alone to tell what clips show; see ``take``.

        The language model begins as one that passes on what it is given, so this is where it
        begins from; to learn both at once takes many times as long.
        """
        with autocast():
            rows = [self.model.pooled(clip.features.float()) for clip in clips]
            tokens = self.model.language.norm(self.model.projector(torch.cat(rows)))
            ends = torch.tensor([len(r) for r in rows]).cumsum(0) - 1
            is_slot = torch.ones(len(tokens), dtype=torch.bool)
            is_slot[ends] = False
            losses = self._read(clips, tokens[is_slot], tokens[ends])
        return self._move(losses)

    def take_cards(self, cards: Cards) -> dict[str, float]:
        """Learn from single frames, without long-term memory; see ``take``."""
        with autocast():
            memories = self.compress(cards.clips, cards.offset_s)
            nothing = memories.global_memory[:0]
            asked = [self._tokenize(text) for text in cards.texts]
            features = self.model.question_features(nothing, asked)
            slots = torch.cat(memories.short_term)
            losses = self._read(cards.clips, slots, memories.global_memory)
            losses["kept"] = self._kept(cards.clips, cards.offset_s, slots)
            meant = torch.from_numpy(cards.kinds).float()
            losses["asked"] = ASKED_WEIGHT * self.heads.present_loss(features, meant)
            losses["colour"] = self._colour_loss(features, meant, cards.texts)
        logits = cosines(features, memories.global_memory) / TEMPERATURE
        losses["retrieval"] = surprise(logits, logits, torch.from_numpy(cards.right))
        return self._move(losses)

    @property
    def keeps(self) -> bool:
        """Whether H is held to what it was."""
        return bool(self.earlier.keeps)

    def keep_from_here(self) -> None:
        """Hold H, from now on, to what it is now."""
        self.earlier.model.load_state_dict(self.model.state_dict())
        self.earlier.keeps.fill_(True)

    def _kept(
        self,
        clips: Sequence[EncodedClip],
        offset_s: int,
        slots: Tensor,
        weight: float = KEEP_WEIGHT,
    ) -> Tensor:
        """How far slot tokens [N, C] of clips are from what they were."""
        if not self.keeps:
            return torch.zeros(())
        with torch.no_grad():
            before = self.earlier.model.compress(self._inputs(clips, offset_s)).short_term
        return weight * F.mse_loss(slots.float(), torch.cat(before).float())

    def _move(self, losses: dict[str, Tensor]) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        loss = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parts.parameters(), CLIP_NORM)
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    def compress(self, clips: tuple[EncodedClip, ...], offset_s: int = 0) -> ClipMemories:
        """H and Ĥ of clips whose times are moved by ``offset_s``."""
        return self.model.compress(self._inputs(clips, offset_s))

    def _inputs(self, clips: Sequence[EncodedClip], offset_s: int) -> list[ClipInput]:
        texts = [clip_text(clip.start_s + offset_s, clip.end_s + offset_s) for clip in clips]
        return [
            ClipInput(clip.features.float(), tuple(self._tokenize(text)))
            for clip, text in zip(clips, texts, strict=True)
        ]

    def long_term(self, memories: ClipMemories, window: int) -> Tensor:
        """Long-term memory of the last ``window`` clips."""
        first = len(memories.short_term) - window
        return self.model.integrate(memories.short_term[first:], memories.global_memory[first:])

    def scores(self, memories: ClipMemories, window: int, questions: list[str]) -> Tensor:
        """Cosines [Q, K] of questions with every clip."""
        long_term = self.long_term(memories, window)
        features = self.model.question_features(long_term, [self._tokenize(q) for q in questions])
        return cosines(features, memories.global_memory)

    def _losses(self, lesson: Lesson) -> dict[str, Tensor]:
        clips = lesson.clips
        with autocast():
            memories = self.compress(clips, lesson.offset_s)
            long_term = self.long_term(memories, lesson.window)
            asked = [self._tokenize(q.question.text) for q in lesson.questions]
            features = self.model.question_features(long_term, asked)
            slots = torch.cat(memories.short_term)
            losses = self._read(clips, slots, memories.global_memory)
            losses["kept"] = self._kept(clips, lesson.offset_s, slots)
            shown, rooms = clip_bits(clips), torch.tensor([c.room for c in clips])
            if lesson.window:
                last = slice(len(clips) - lesson.window, None)
                losses["long"] = LONG_WEIGHT * self.heads.loss(long_term, shown[last], rooms[last])
                like = F.cosine_similarity(
                    long_term.float(), memories.global_memory[last].detach().float()
                )
                losses["like"] = LIKE_WEIGHT * (1 - like).mean()
            meant = torch.from_numpy(np.stack([q.kinds for q in lesson.questions])).float()
            named = torch.tensor([q.named for q in lesson.questions])
            if bool(named.any()):
                losses["asked"] = ASKED_WEIGHT * self.heads.present_loss(
                    features[named], meant[named]
                )
            texts = [q.question.text for q in lesson.questions]
            losses["colour"] = self._colour_loss(features, meant, texts)
        losses["retrieval"] = self._retrieval(lesson, features, memories.global_memory, meant)
        kinds = torch.from_numpy(np.stack([clip.kinds for clip in clips]))
        self.others.add(memories.global_memory, kinds)
        return losses

    def _read(
        self, clips: Sequence[EncodedClip], slots: Tensor, globals_: Tensor
    ) -> dict[str, Tensor]:
        """Losses of reading slot tokens [N, C] and global tokens [K, C] of clips."""
        rooms = torch.tensor([c.room for c in clips])
        counts = torch.tensor([c.bits.shape[0] * c.bits.shape[1] for c in clips])
        bits = np.concatenate([c.bits.reshape(-1, *c.bits.shape[2:]) for c in clips])
        slot_bits = torch.from_numpy(bits).float()
        slot_loss = self.heads.loss(slots, slot_bits, rooms.repeat_interleave(counts))
        global_loss = self.heads.loss(globals_, clip_bits(clips), rooms)
        return {"slots": SLOT_WEIGHT * slot_loss, "global": GLOBAL_WEIGHT * global_loss}

    def _colour_loss(self, features: Tensor, meant: Tensor, texts: Sequence[str]) -> Tensor:
        """How badly the colours that questions name are read from their features.

        A question is read as a clip that shows what it names: so it comes to lie beside such
        clips. Retrieval alone learns the kind and leaves the colour unread for long.
        """
        named = [
            (row, COLOURS.index(word))
            for row, text in enumerate(texts)
            for word in text.split()
            if word in COLOURS and int(meant[row].sum()) == 1
        ]
        rows = torch.tensor([row for row, _ in named], dtype=torch.int64)
        colours = torch.tensor([colour for _, colour in named], dtype=torch.int64)
        kinds = meant[rows].argmax(dim=1)
        return self.heads.colour_loss(features[rows], kinds, colours)

    def _retrieval(
        self, lesson: Lesson, features: Tensor, globals_: Tensor, meant: Tensor
    ) -> Tensor:
        """Mean of -log of the probability that a clip showing the answer is chosen."""
        shows = torch.from_numpy(np.stack([q.shows for q in lesson.questions]))
        named = torch.tensor([q.named for q in lesson.questions])
        here = cosines(features, globals_) / TEMPERATURE
        elsewhere = cosines(features, self.others.features) / TEMPERATURE
        wrong = named[:, None] & ~((meant > 0).float() @ self.others.kinds.float().T > 0)
        logits = torch.cat([here, elsewhere.masked_fill(~wrong, -torch.inf)], dim=1)
        return surprise(logits, here, shows)
