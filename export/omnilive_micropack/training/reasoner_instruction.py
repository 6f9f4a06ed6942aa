"""The yes/no instruction check as training data: questions, fillers, small talk.

Sentences are the grammar's training part only. It takes no step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnilive_micropack import grammar, text_tokenizers
from omnilive_micropack.training.context_answers import as_heard
from omnilive_micropack.training.reasoner_loss import answer_loss
from omnilive_micropack.training.reasoner_model import ReasonerNet
from omnilive_micropack.training.reasoner_text import PromptText

UTTERANCES = 16
JOINED_SHARE, PART_SHARE, SHUFFLED_SHARE = 0.25, 0.25, 0.2
"""Of what asks for nothing: two such sentences in a row, a part of one, and words in any order.
Fillers are few and fixed, so one never heard in training is only known by what it shares with
others."""

FROM_ALL_SHARE = 0.5
"""Of words in any order: from the whole vocabulary but the words that ask, so that a word which
mostly stands in questions ("there") makes none by itself; the rest are words of small talk."""

SHUFFLED = 3
"""Sentences whose words are shuffled."""

MOST_SHUFFLED = 5

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
        text = _sentence(rng, question)
        if not question:
            drawn = rng.random()
            if drawn < JOINED_SHARE:
                text = f"{text} {_sentence(rng, question)}"
            elif drawn < JOINED_SHARE + PART_SHARE:
                text = _part(rng, text)
            elif drawn < JOINED_SHARE + PART_SHARE + SHUFFLED_SHARE:
                text = _shuffled(rng)
        if grammar.split(text) == grammar.TRAINING:
            return text


def _sentence(rng: Rng, question: bool) -> str:
    while True:
        sentence = grammar.draw(rng)
        if sentence.is_question == question and grammar.split(sentence.text) == grammar.TRAINING:
            return sentence.text


def _part(rng: Rng, text: str) -> str:
    """Some words in a row of a sentence."""
    words = text.split()
    first = int(rng.integers(len(words)))
    return " ".join(words[first : int(rng.integers(first, len(words))) + 1])


def _shuffled(rng: Rng) -> str:
    words = [word for _ in range(SHUFFLED) for word in _sentence(rng, False).split()]
    if rng.random() < FROM_ALL_SHARE:
        others = [word for word in grammar.vocabulary() if word not in text_tokenizers.ASKING]
        words[1:] = [str(word) for word in rng.choice(others, MOST_SHUFFLED)]
    count = int(rng.integers(1, MOST_SHUFFLED + 1))
    return " ".join(str(word) for word in rng.permutation(words)[:count])


def instruction_loss(net: ReasonerNet, asked: Utterances) -> tuple[Tensor, Tensor]:
    """Cross entropy of Yes and No, and which utterances [1, Q] are told apart."""
    words = net.model.tok_embeddings
    context = words(asked.head)
    length = torch.tensor([context.shape[1]])
    none = torch.zeros_like(context[..., :1])
    reading = net.model(context, length, none, words(asked.tails))
    return answer_loss(net, reading.hidden, asked.targets)
