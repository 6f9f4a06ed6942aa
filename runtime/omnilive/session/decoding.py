"""Decoding: what the reason lane does for an answer, step by step. It logs and speaks nothing.

Every step ends where an interruption may come: the KV is then as the last whole step left it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from omnilive import events
from omnilive.errors import TooLongError
from omnilive.lanes import Work
from omnilive.reasoning.assembly import Prompt
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import Answer, Reasoner
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.evidence import Evidence, EvidenceReader, Question
from omnilive.session.scene import Change
from omnilive.session.speaking import Speaking

Steps = Generator[Work[Any], None, None]


class Decoding:
    """Makes the steps of answers: their evidence, their prompt, their tokens."""

    def __init__(
        self,
        evidence: EvidenceReader,
        prompts: PromptBuilder,
        reasoner: Reasoner,
        costs: VirtualCostConfig,
    ) -> None:
        self._evidence = evidence
        self._prompts = prompts
        self._reasoner = reasoner
        self._costs = costs

    def steps(self, speaking: Speaking) -> Steps:
        """An answer from its evidence on, or what is still to be said of one that was stopped.

        Their values: ``EvidenceChosen``, ``TooLongError`` (the last then), ``SceneRefreshed``,
        ``AnswerToken``, or None.
        """
        if speaking.answer is None:
            return self._answer(speaking)
        return self._resume(speaking, speaking.answer)

    def _answer(self, speaking: Speaking) -> Steps:
        limit = self._reasoner.prompt_limit
        try:
            evidence = yield from self._evidence.read(speaking.question, limit)
        except TooLongError as error:
            yield Work(error, 0)
            return
        yield Work(evidence.event, 0)
        prompt = yield from self._prompt(speaking.question, evidence)
        speaking.answer = self._reasoner.begin(prompt, speaking.question.generation)
        yield from self._decode(speaking, speaking.answer)

    def _prompt(
        self, question: Question, evidence: Evidence
    ) -> Generator[Work[None], None, Prompt]:
        prompts, costs = self._prompts, self._costs
        assembly = prompts.begin(
            question.text,
            question.language,
            evidence.long_term,
            evidence.short_term,
            evidence.canvas,
            evidence.budget,
        )
        tiles = evidence.budget.tiles
        while not assembly.step():
            encoded = min(tiles, prompts.config.tiles_per_step)
            tiles -= encoded
            yield Work(None, encoded * costs.tile_us)
        yield Work(None, tiles * costs.tile_us)
        return assembly.prompt()

    def _resume(self, speaking: Speaking, answer: Answer) -> Steps:
        """What is still to be said of an answer that was stopped."""
        answer.rollback(speaking.tokens)
        yield from self._decode(speaking, answer)

    def _decode(self, speaking: Speaking, answer: Answer) -> Steps:
        yield from self._prefill(answer)
        while not answer.done:
            change, speaking.change = speaking.change, None
            if change is not None:
                yield from self._refresh(speaking, answer, change)
            yield Work(answer.step(), self._costs.decode_step_us)

    def _prefill(self, answer: Answer) -> Generator[Work[None], None, None]:
        chunk = self._reasoner.config.prefill_chunk
        while answer.prefill_left:
            tokens = min(chunk, answer.prefill_left)
            answer.prefill_step()
            yield Work(None, tokens * self._costs.prefill_token_us)

    def _refresh(self, speaking: Speaking, answer: Answer, change: Change) -> Steps:
        """Put the newest frame among those the question is answered from, and go on."""
        question = speaking.question
        question = replace(question, current=(*question.current, change.scene.keyframe))
        evidence = yield from self._evidence.read(question, self._reasoner.prompt_limit)
        prompt = yield from self._prompt(question, evidence)
        kept = answer.renew(prompt)
        yield from self._prefill(answer)
        speaking.question, speaking.scene = question, change.scene
        refreshed = events.SceneRefreshed(
            *speaking.ids,
            speaking.tokens,
            change.cosine,
            evidence.event.frames,
            kept,
            len(prompt.embeds),
        )
        yield Work(refreshed, 0)
