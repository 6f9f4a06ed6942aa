"""What the memory is trained by besides retrieval: heads that read H, Ĥ and long-term tokens.

A kind's attributes are asked for through the kind's own vector, as a question will, so that kind
and colour are kept apart and a pair never shown together is still read right. The heads are thrown
away after training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive_micropack.seeds import held_out
from omnilive_micropack.training.memory_labels import ATTRIBUTES, COLOUR_AT, PLACE_AT, PRESENT
from omnilive_micropack.training.vision_labels import KINDS
from omnilive_micropack.vocabulary import COLOURS, OBJECTS, ROOMS

QUERY_WIDTH = 128

RARE_LOGIT, READ_GAIN, PAIR_GAIN = -4.0, 0.3, 0.25
"""At the start hardly any pair is read anywhere."""

PAIRS_SHOWN = 10.0
"""Puts the loss of many pairs, of which few are shown, on the scale of the others."""


class PairHead(nn.Module):
    """Reads pairs of kind and colour from states.

    The code of a pair is a product of its kind's and its colour's, so that a pair never shown has
    its own as well. Held-out pairs are neither right nor wrong here: else they would be unlearned.
    """

    open: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, QUERY_WIDTH)
        self.kinds = nn.Parameter(torch.empty(len(OBJECTS), QUERY_WIDTH))
        self.colours = nn.Parameter(torch.empty(len(COLOURS), QUERY_WIDTH))
        self.bias = nn.Parameter(torch.full((), RARE_LOGIT))
        may = [not held_out(kind, colour) for kind in OBJECTS for colour in COLOURS]
        self.register_buffer("open", torch.tensor(may), persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """Logits [N, kinds · colours] of states [N, C]."""
        return self.read(states).float() @ self._codes.T * PAIR_GAIN + self.bias

    @property
    def _codes(self) -> Tensor:
        return (self.kinds[:, None] * self.colours[None]).flatten(0, 1)

    def loss(self, states: Tensor, pairs: Tensor) -> Tensor:
        """How badly ``pairs`` float [N, kinds · colours] are read; those below 0 are unclear."""
        logits = self(states)
        each = F.binary_cross_entropy_with_logits(logits, pairs.clamp_min(0), reduction="none")
        return (each * (self.open & (pairs >= 0))).mean() * PAIRS_SHOWN

    def named_loss(self, states: Tensor, pairs: Tensor) -> Tensor:
        """How badly the one pair [N] that a question names is read."""
        if not len(states):
            return torch.zeros(())
        return F.cross_entropy(self(states).masked_fill(~self.open, -torch.inf), pairs)

    def along_loss(self, states: Tensor, pairs: Tensor) -> Tensor:
        """How far states point away from where the one pair [N] named is read."""
        if not len(states):
            return torch.zeros(())
        directions = (self._codes @ self.read.weight).detach()[pairs]
        return (1 - F.cosine_similarity(states.float(), directions)).mean()


class MemoryHeads(nn.Module):
    """Reads what is there, each kind's attributes, and the room, from memory tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.present = nn.Linear(width, len(KINDS))
        self.keep = nn.Linear(width, QUERY_WIDTH)
        self.kinds = nn.Embedding(len(KINDS), QUERY_WIDTH)
        self.attributes = nn.Linear(QUERY_WIDTH, ATTRIBUTES)
        self.room = nn.Linear(width, len(ROOMS))
        self.patch_pairs = PairHead(width)
        self.pairs = PairHead(width)

    def loss(self, tokens: Tensor, bits: Tensor, room: Tensor) -> Tensor:
        """How badly the labels can be read.

        Args:
            tokens: [N, C].
            bits: float [N, kinds, ATTRIBUTES + 1], see ``memory_labels``.
            room: int64 [N].
        """
        there = bits[..., PRESENT]
        present = F.binary_cross_entropy_with_logits(self.present(tokens).float(), there)
        rows, kinds = there.nonzero(as_tuple=True)
        total = len(KINDS) * 0.2 * present + 0.2 * F.cross_entropy(self.room(tokens).float(), room)
        if not len(rows):
            return total
        asked = self.keep(tokens)[rows] * self.kinds(kinds)
        read = self.attributes(asked).float()
        wanted = bits[rows, kinds, :ATTRIBUTES]
        each = F.binary_cross_entropy_with_logits(read, wanted, reduction="none")
        return total + each.sum(dim=-1).mean() * 0.4

    def colour_loss(self, tokens: Tensor, kinds: Tensor, colours: Tensor) -> Tensor:
        """How badly the colours [N] of kinds [N] can be read from tokens [N, C]."""
        if not len(tokens):
            return torch.zeros(())
        read = self.attributes(self.keep(tokens) * self.kinds(kinds)).float()
        return F.cross_entropy(read[:, COLOUR_AT:PLACE_AT], colours)

    def present_loss(self, tokens: Tensor, there: Tensor) -> Tensor:
        """How badly the kinds ``there`` [N, kinds] can be read from tokens [N, C]."""
        return F.binary_cross_entropy_with_logits(self.present(tokens).float(), there)


def start(heads: MemoryHeads) -> None:
    """Kinds and colours begin as random signs, so that each opens a view of its own."""
    with torch.no_grad():
        heads.kinds.weight.sign_()
        for head in (heads.patch_pairs, heads.pairs):
            head.read.weight.mul_(READ_GAIN)
            head.kinds.normal_().sign_()
            head.colours.normal_().sign_()
