"""Whether an utterance asks for an answer: one prefill, yes against no (spec §4).

Never generates text: the probability is read from the logits of the next token.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32, Tokenizer
from omnilive.engine.pack import EnginePack
from omnilive.errors import PackError, TooLongError
from omnilive.reasoning.config import QUESTION_MARK, InstructionConfig
from omnilive.reasoning.template import ChatTemplate
from omnilive.steps import finish

YES_PIECES = ("Yes", "\u2581Yes")
NO_PIECES = ("No", "\u2581No")
_NO_ROWS = np.zeros(0, np.int64)
QUESTION_MARKS = ("?", "？")


@dataclass(frozen=True)
class Verdict:
    """What the check found.

    Attributes:
        probability: that the words are an instruction, in [0, 1].
        tokens: prompt tokens prefilled to find it.
    """

    probability: float
    tokens: int


class InstructionCheck:
    """The yes/no question on the reasoner, with a KV arena of its own.

    The prompt's beginning is the same for every utterance; its KV is kept and only what differs
    is prefilled.
    """

    def __init__(self, pack: EnginePack, config: InstructionConfig) -> None:
        """Find the answers in the vocabulary. Raises PackError when it has no such words."""
        config.validate()
        self.config = config
        spec = pack.manifest.reasoner
        tokenizer = pack.tokenizer("reasoner")
        self._template = ChatTemplate(tokenizer, spec.bos_id)
        self._embeddings = pack.table("vlm_embed")
        self._decoder = pack.decoder("vlm_lm")
        self._yes = _answer_ids(tokenizer, YES_PIECES)
        self._no = _answer_ids(tokenizer, NO_PIECES)
        if set(self._yes) & set(self._no):
            raise PackError(
                "spells Yes and No with the same first token",
                where="tokenizer reasoner",
                mend="Rebuild the pack from a checkpoint whose vocabulary has both words.",
            )
        self._arena = self._decoder.new_arena(min(config.max_prompt_tokens, spec.max_positions))
        self._kept: list[int] = []

    def judge(self, text: str) -> Verdict:
        """``judging`` without a pause."""
        return finish(self.judging(text))

    def judging(self, text: str) -> Generator[int, None, Verdict]:
        """Steps to how probably ``text`` is an instruction; 0 for nothing said.

        One check at a time; it may be broken off after any step.

        Yields:
            The tokens of each step, at most ``instruction.step_tokens``.

        Raises:
            TooLongError: the prompt exceeds ``instruction.max_prompt_tokens``.
        """
        if not text.strip():
            return Verdict(0.0, 0)
        question = _quoted(self.config.template, text)
        ids = [*self._template.head(""), *self._template.tail(question)]
        if len(ids) > self._arena.capacity:
            raise TooLongError(
                f"an utterance of {len(ids)} prompt tokens exceeds {self._arena.capacity}",
                where="instruction check",
                mend="Raise instruction.max_prompt_tokens or lower turn.max_words.",
            )
        # At least the last token runs: its logits are the answer.
        shared = min(_shared_prefix(ids, self._kept), len(ids) - 1)
        self._arena.truncate(shared)
        self._kept = ids[:shared]
        while len(self._kept) < len(ids):
            block = ids[len(self._kept) : len(self._kept) + self.config.step_tokens]
            last = len(self._kept) + len(block) == len(ids)
            logits = self._decoder.logits(
                self._arena, self._embeddings.rows(block), rows=None if last else _NO_ROWS
            )
            self._kept = ids[: len(self._kept) + len(block)]
            yield len(block)
        yes, no = _log_sum(logits[0][self._yes]), _log_sum(logits[0][self._no])
        probability = float(1 / (1 + np.exp(np.clip(no - yes, -500, 500))))
        return Verdict(probability, len(ids) - shared)

    def is_instruction(self, probability: float) -> bool:
        """Whether an utterance of this probability is answered."""
        return probability >= self.config.threshold


def _quoted(template: str, text: str) -> str:
    """``template`` with ``text`` in it, one trailing question mark left out."""
    asked = text.strip()
    return template.replace(QUESTION_MARK, asked[:-1] if asked.endswith(QUESTION_MARKS) else asked)


def _answer_ids(tokenizer: Tokenizer, pieces: tuple[str, ...]) -> list[int]:
    """Every first token an answer may have: of the bare word, and of its other spellings."""
    found = {tokenizer.encode(pieces[0])[0]}
    for piece in pieces:
        try:
            found.add(tokenizer.id_of(piece))
        except PackError:
            # A small vocabulary spells the word in several tokens; its first one counts.
            continue
    return sorted(found)


def _shared_prefix(a: list[int], b: list[int]) -> int:
    """Length of the beginning that both have."""
    for index, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return index
    return min(len(a), len(b))


def _log_sum(logits: F32) -> float:
    values = logits.astype(np.float64)
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
