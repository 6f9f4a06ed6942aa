"""The yes/no instruction check as training data: questions, fillers, small talk.

Sentences are the grammar's training part only. It takes no step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnilive_micropack import grammar
from omnilive_micropack.training.context import as_heard
from omnilive_micropack.training.reasoner_loss import answer_loss
from omnilive_micropack.training.reasoner_model import ReasonerNet
from omnilive_micropack.training.reasoner_text import PromptText

UTTERANCES = 16
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Utterances:
    """Yes/no prompts: ids [1, Q, T] and targets like a ``Batch``'s; the head's ids [1, C]."""

    head: Tensor
    tails: Tensor
    targets: Tensor
    kinds: list[str]


def instruction_batch(rng: Rng, text: PromptText) -> Utterances:
    """Half questions, half what asks for nothing."""
    tails, kinds = [], []
    for index in range(UTTERANCES):
        question = index % 2 == 0
        sentence = _draw(rng, question)
        tails.append(text.instruction(as_heard(rng, sentence), question))
        kinds.append("asked" if question else "remark")
    longest = max(len(tail.ids) for tail in tails)
    ids = np.zeros((1, len(tails), longest), np.int64)
    targets = np.full(ids.shape, -100)
    for row, tail in enumerate(tails):
        ids[0, row, : len(tail.ids)] = tail.ids
        targets[0, row, tail.start - 1 : len(tail.ids) - 1] = tail.ids[tail.start :]
    head = torch.tensor([text.instruction_head])
    return Utterances(head, torch.from_numpy(ids), torch.from_numpy(targets), kinds)


def _draw(rng: Rng, question: bool) -> str:
    while True:
        sentence = grammar.draw(rng)
        if sentence.is_question == question and grammar.split(sentence.text) == grammar.TRAINING:
            return sentence.text


def instruction_loss(net: ReasonerNet, asked: Utterances) -> tuple[Tensor, Tensor]:
    """Cross entropy of Yes and No, and which utterances [1, Q] are told apart."""
    words = net.model.tok_embeddings
    context = words(asked.head)
    length = torch.tensor([context.shape[1]])
    none = torch.zeros_like(context[..., :1])
    reading = net.model(context, length, none, words(asked.tails))
    return answer_loss(net, reading.hidden, asked.targets)
