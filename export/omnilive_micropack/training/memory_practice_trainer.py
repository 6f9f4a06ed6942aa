"""One step of practice for the memory: see ``memory_practice`` for what it is made of.

Right clips are told apart from all others at a low temperature, where only the nearest matter, and
at the one retrieval is used with, so that they are also chosen (spec §2.6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.training.memory_labels import unpacked
from omnilive_micropack.training.memory_losses import clip_bits, surprise, told_apart
from omnilive_micropack.training.memory_model import cosines
from omnilive_micropack.training.memory_others import OtherAsked
from omnilive_micropack.training.memory_practice import (
    LONGEST_WINDOW,
    REMEMBERING,
    Practice,
    Visit,
)
from omnilive_micropack.training.memory_rows import RowQuestion, Rows
from omnilive_micropack.training.memory_things import (
    ANY,
    RIGHT,
    SEEN,
    UNCLEAR,
)
from omnilive_micropack.training.memory_trainer import TEMPERATURE, MemoryTrainer
from omnilive_micropack.training.towers import autocast
from omnilive_micropack.training.vision_labels import KINDS
from omnilive_micropack.vocabulary import COLOURS

SHARP = 0.04
"""The low temperature."""

CHOSEN_WEIGHT, GLOBAL_WEIGHT, KEEP_WEIGHT, LIKE_WEIGHT = 1.5, 0.1, 20.0, 0.3
ASKED_WEIGHT, COLOUR_WEIGHT = 2.0, 0.5
PATCH_WEIGHT, PAIR_WEIGHT, NAMED_WEIGHT, ALONG_WEIGHT = 3.0, 6.0, 0.3, 1.0
"""Pairs read before the last layer, from Ĥ, and from questions, which are to lie along with Ĥ."""

ROWS_WEIGHT, VISIT_WEIGHT, NEWEST_WEIGHT = 4.0, 3.0, 3.0
"""Else the present is drowned by the many that are told apart."""

WIDE_SHARE = 0.6
"""Share of the higher temperature where the rows of long-term memory are told apart."""

KEPT_SHARE = 3
"""Every so-many-th clip is compared with what it was."""

PATCH_FRAMES = 4
"""Patches of clips with more frames are not read."""

OTHERS_KEPT = 384
OTHERS_ADDED = 24
VISITED_KEPT = 1200
ROW_QUESTIONS = 56
NEWEST_QUESTIONS = 8


class PracticeTrainer(MemoryTrainer):
    """A trainer that practises, too."""

    def __init__(self, dims: FamilyDims, seed: int, tokenize: Callable[[str], list[int]]) -> None:
        super().__init__(dims, seed, tokenize)
        self.other_asked = OtherAsked(OTHERS_KEPT, dims.memory_lm.width)
        self.visited = OtherAsked(VISITED_KEPT, dims.memory_lm.width)
        self.rows = Rows(dims.memory_lm.width)
        self.parts.extend([self.other_asked, self.visited, self.rows])

    def take_practice(
        self, practice: Practice, visit: Visit | None, rng: np.random.Generator
    ) -> dict[str, float]:
        """Learn from clips of many worlds, and from a visit to one if there is one."""
        losses = {} if visit is None else self._visit_losses(visit, rng)
        with autocast():
            memories = self.compress(practice.clips, practice.offset_s)
            globals_ = memories.global_memory
            losses |= self._reading_losses(practice, memories.patches, globals_)
            kept = range(0, len(practice.clips), KEPT_SHARE)
            slots = torch.cat([memories.short_term[i] for i in kept])
            clips = [practice.clips[i] for i in kept]
            losses["kept"] = self._kept(clips, practice.offset_s, slots, KEEP_WEIGHT)
            features = self._asked_features([asked.text for asked in practice.asked], rng)
            losses |= self._naming_losses(practice, features)
        losses |= self._finding_losses(practice, features, globals_)
        if self.rows.filled:
            losses["rows"] = ROWS_WEIGHT * self._rows_loss(rng)
        objects = np.stack([shown.objects for shown in practice.shown])
        some = rng.permutation(len(objects))[:OTHERS_ADDED]
        self.other_asked.add(globals_[torch.from_numpy(some)], objects[some])
        return self._move(losses)

    def _reading_losses(
        self, practice: Practice, patches: list[Tensor], globals_: Tensor
    ) -> dict[str, Tensor]:
        rooms = torch.tensor([clip.room for clip in practice.clips])
        few = [i for i, c in enumerate(practice.clips) if len(c.features) <= PATCH_FRAMES]
        pairs = [unpacked(practice.clips[i].pairs).reshape(len(patches[i]), -1) for i in few]
        seen = np.stack([shown.objects[SEEN, :, :ANY].ravel() for shown in practice.shown])
        heads = self.heads
        return {
            "global": GLOBAL_WEIGHT * heads.loss(globals_, clip_bits(practice.clips), rooms),
            "patches": PATCH_WEIGHT
            * heads.patch_pairs.loss(
                torch.cat([patches[i] for i in few]),
                torch.from_numpy(np.concatenate(pairs)).float(),
            ),
            "pairs": PAIR_WEIGHT * heads.pairs.loss(globals_, torch.from_numpy(seen).float()),
        }

    def _asked_features(self, texts: list[str], rng: np.random.Generator) -> Tensor:
        """Features of questions; the last ones come after rows that do not matter to them."""
        ids = [self._tokenize(text) for text in texts]
        alone = max(0, len(ids) - REMEMBERING) if self.rows.filled else len(ids)
        nothing = self.rows.long_term[:0]
        found = [self.model.question_features(nothing, ids[:alone])] if alone else []
        if ids[alone:]:
            before = self.rows.some(rng, LONGEST_WINDOW)
            found.append(self.model.question_features(before, ids[alone:]))
        return torch.cat(found)

    def _naming_losses(self, practice: Practice, features: Tensor) -> dict[str, Tensor]:
        named = [(i, a.kind) for i, a in enumerate(practice.asked) if a.kind is not None]
        rows = torch.tensor([i for i, _ in named], dtype=torch.int64)
        kinds = torch.tensor([kind for _, kind in named], dtype=torch.int64)
        there = F.one_hot(kinds, len(KINDS)).float()
        colours = torch.tensor(
            [-1 if (c := practice.asked[i].colour) is None else c for i, _ in named],
            dtype=torch.int64,
        )
        coloured = colours >= 0
        rows_of, kinds_of, colours_of = rows[coloured], kinds[coloured], colours[coloured]
        subjects = [practice.asked[int(i)].subject for i in rows_of]
        seen = torch.tensor([s is not None and s[0] == SEEN for s in subjects], dtype=torch.bool)
        heads, pairs = self.heads, kinds_of * len(COLOURS) + colours_of
        losses = {
            "colour": COLOUR_WEIGHT * heads.colour_loss(features[rows_of], kinds_of, colours_of),
            "named": NAMED_WEIGHT * heads.pairs.named_loss(features[rows_of], pairs),
            "along": ALONG_WEIGHT * heads.pairs.along_loss(features[rows_of[seen]], pairs[seen]),
        }
        if len(rows):
            losses["asked"] = ASKED_WEIGHT * heads.present_loss(features[rows], there)
        return losses

    def _finding_losses(
        self, practice: Practice, features: Tensor, globals_: Tensor
    ) -> dict[str, Tensor]:
        here = torch.from_numpy(np.stack([asked.right for asked in practice.asked]))
        # Parts of clips are only wrong answers; whole ones are right ones, too.
        parts = torch.stack([self.other_asked.rights(asked) for asked in practice.asked])
        parts = parts.masked_fill(parts == RIGHT, UNCLEAR)
        whole = torch.stack([self.visited.rights(asked) for asked in practice.asked])
        right = torch.cat([here, parts, whole], dim=1)
        others = [self.other_asked.features, self.visited.features]
        cosine = cosines(features, torch.cat([globals_.float(), *others]))
        return {
            "found": told_apart(cosine / SHARP, right),
            "chosen": CHOSEN_WEIGHT * told_apart(cosine / TEMPERATURE, right),
        }

    def _rows_loss(self, rng: np.random.Generator) -> Tensor:
        drawn = self.rows.draw(rng, ROW_QUESTIONS)
        with autocast():
            before = self.rows.long_term[torch.from_numpy(drawn.rows)]
            asked = [self._tokenize(one.text) for one in drawn.asked]
            features = self.model.question_features(before, asked)
        return self._meant(features, drawn.asked)

    def _meant(self, features: Tensor, asked: Sequence[RowQuestion]) -> Tensor:
        """How badly features [Q, C] tell the rows that are meant from all others."""
        cosine = cosines(features, self.rows.globals_[: self.rows.filled])
        right = torch.from_numpy(np.stack([one.right for one in asked]))
        return WIDE_SHARE * told_apart(cosine / TEMPERATURE, right) + (1 - WIDE_SHARE) * told_apart(
            cosine / SHARP, right
        )

    def _visit_losses(self, visit: Visit, rng: np.random.Generator) -> dict[str, Tensor]:
        """Learn to remember and to ask; what the clips themselves are is taken as it is."""
        with autocast():
            with torch.no_grad():
                memories = self.compress(visit.clips, visit.offset_s)
            long_term = self.long_term(memories, visit.window)
            globals_ = memories.global_memory.float()
            recent = globals_[-visit.window :]
            self.rows.add(long_term, recent, visit.facts)
            of_rows = self.rows.about_newest(rng, visit.window, NEWEST_QUESTIONS)
            texts = [*visit.texts, *(one.text for one in of_rows)]
            features = self.model.question_features(long_term, [self._tokenize(t) for t in texts])
        self.visited.add(globals_, np.stack([shown.objects for shown in visit.shown]))
        count = len(visit.texts)
        here = cosines(features[:count], globals_) / TEMPERATURE
        like = F.cosine_similarity(long_term.float(), recent)
        losses = {
            "visit": VISIT_WEIGHT * surprise(here, here, torch.from_numpy(visit.shows)),
            "like": LIKE_WEIGHT * (1 - like).mean(),
        }
        if of_rows:
            losses["newest"] = NEWEST_WEIGHT * self._meant(features[count:], of_rows)
        return losses
