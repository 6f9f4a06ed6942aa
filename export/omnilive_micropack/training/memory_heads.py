"""What the memory is trained by besides retrieval: heads that read H, Ĥ and long-term tokens.

A kind's attributes are asked for through the kind's own vector, as a question will, so that kind
and colour are kept apart and a pair never shown together is still read right. The heads are thrown
away after training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive_micropack.training.memory_labels import ATTRIBUTES, COLOUR_AT, PLACE_AT, PRESENT
from omnilive_micropack.training.vision_labels import KINDS
from omnilive_micropack.vocabulary import ROOMS

QUERY_WIDTH = 128


class MemoryHeads(nn.Module):
    """Reads what is there, each kind's attributes, and the room, from memory tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.present = nn.Linear(width, len(KINDS))
        self.keep = nn.Linear(width, QUERY_WIDTH)
        self.kinds = nn.Embedding(len(KINDS), QUERY_WIDTH)
        self.attributes = nn.Linear(QUERY_WIDTH, ATTRIBUTES)
        self.room = nn.Linear(width, len(ROOMS))

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
    """Kinds begin as random signs, so that each opens a view of its own."""
    with torch.no_grad():
        heads.kinds.weight.sign_()
