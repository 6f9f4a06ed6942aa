"""Answers one prompt at a time, step by step: a cancel can land between any two steps.

It never runs for an answer that a newer one has replaced, and never decides what to say it about.
"""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive.engine.interface import F32, I64
from omnilive.engine.pack import EnginePack
from omnilive.errors import ConfigError, EngineError
from omnilive.reasoning.assembly import Prompt
from omnilive.reasoning.config import ReasoningConfig, SamplingConfig
from omnilive.reasoning.detokenizer import Detokenizer
from omnilive.reasoning.fed_rows import FedRows
from omnilive.reasoning.sampling import sample

STOP, LENGTH = "stop", "length"


@dataclass(frozen=True)
class AnswerToken:
    """One generated token.

    Attributes:
        id: its id.
        text_delta: text that became sure with it; never part of a character.
        done: whether it is the last.
        reason: empty, or why it is: ``stop`` (the model ended its turn) or ``length`` (the limit
            of new tokens or of the context).
    """

    id: int
    text_delta: str
    done: bool
    reason: str


class Reasoner:
    """The answering decoder with one KV arena, reused from answer to answer.

    What a prompt begins with like the one before it (system turn, unchanged overview memory)
    keeps its KV and is not prefilled again.
    """

    def __init__(
        self,
        pack: EnginePack,
        config: ReasoningConfig,
        sampling: SamplingConfig | None = None,
    ) -> None:
        """Reserve the context. Raises ConfigError when it leaves no room for a prompt."""
        config.validate()
        self.sampling = sampling or SamplingConfig()
        self.sampling.validate()
        spec = pack.manifest.reasoner
        self.config = dataclasses.replace(
            config,
            max_new_tokens=config.max_new_tokens or spec.max_new_tokens,
            context_tokens=config.context_tokens or spec.max_positions,
        )
        if self.config.context_tokens > spec.max_positions:
            raise ConfigError(
                f"is {self.config.context_tokens}, the engine has {spec.max_positions} positions",
                where="reasoning.context_tokens",
                mend=f"Give at most {spec.max_positions}, or 0 for all.",
            )
        if self.prompt_limit < 1:
            raise ConfigError(
                f"is {self.config.max_new_tokens} of a context of {self.config.context_tokens}, "
                "which leaves no room for a prompt",
                where="reasoning.max_new_tokens",
                mend="Lower it or raise reasoning.context_tokens.",
            )
        self.stop_ids = frozenset(spec.stop_ids)
        self.tokenizer = pack.tokenizer("reasoner")
        self.embeddings = pack.table("vlm_embed")
        self._decoder = pack.decoder("vlm_lm")
        self._arena = self._decoder.new_arena(self.config.context_tokens)
        self._fed = FedRows()
        self._lock = threading.Lock()
        self._current: Answer | None = None

    @property
    def prompt_limit(self) -> int:
        """Tokens a prompt may have: the context minus the longest answer."""
        return self.config.context_tokens - self.config.max_new_tokens

    def begin(self, prompt: Prompt, generation: int) -> Answer:
        """Start an answer; any older one is over.

        Raises:
            EngineError: the prompt is empty or exceeds ``prompt_limit``.
        """
        tokens = len(prompt.embeds)
        if not 1 <= tokens <= self.prompt_limit:
            raise EngineError(
                f"cannot take a prompt of {tokens} tokens, only 1 to {self.prompt_limit}",
                where="reasoner",
                mend="Lower the budget's token limits or raise reasoning.context_tokens.",
            )
        with self._lock:
            kept = self._kept(prompt)
            self._truncate(prompt, kept)
            self._current = Answer(self, prompt, generation, kept)
            return self._current

    def append(
        self, answer: Answer, embeds: F32, *, rows: I64 | None = None, plora_rows: I64 | None = None
    ) -> F32:
        """``Decoder.logits`` for ``answer``, which must be the one begun last.

        Raises:
            EngineError: it is not; the arena now belongs to a newer answer.
        """
        with self._lock:
            if self._current is not answer:
                raise answer.error("was replaced by a newer answer")
            # What a rollback or a failed run took out of the arena is not in it.
            self._fed.truncate(self._arena.length)
            logits = self._decoder.logits(self._arena, embeds, rows=rows, plora_rows=plora_rows)
            self._fed.append(embeds, plora_rows)
            return logits

    def _kept(self, prompt: Prompt) -> int:
        """Rows of the arena that ``prompt`` begins with, too; its last row has to run."""
        if not self.config.keep_prefix:
            return 0
        self._fed.truncate(self._arena.length)
        shared = self._fed.shared(prompt.embeds, prompt.plora_rows)
        return min(shared, len(prompt.embeds) - 1)

    def renew(self, answer: Answer, prompt: Prompt, kept: int) -> None:
        """Keep the first ``kept`` tokens of the arena for ``answer``: ``prompt`` begins with them.

        Raises:
            EngineError: it is not the one begun last, or the arena holds fewer.
        """
        with self._lock:
            if self._current is not answer:
                raise answer.error("was replaced by a newer answer")
            self._truncate(prompt, kept)

    def _truncate(self, prompt: Prompt, kept: int) -> None:
        self._arena.truncate(kept)
        self._fed.carry_over(prompt.embeds, prompt.plora_rows, kept)

    def keep(self, answer: Answer, length: int) -> None:
        """Keep the first ``length`` tokens of the arena for ``answer``, the one begun last.

        Raises:
            EngineError: it is not, or the arena holds fewer.
        """
        with self._lock:
            if self._current is not answer:
                raise answer.error("was replaced by a newer answer")
            self._arena.truncate(length)


class Answer:
    """One answer in the making: prefill steps, then one step per token. Not for several threads.

    Attributes:
        generation: the generation it belongs to.
        prompt: what it answers.
        kept_tokens: tokens of the prompt whose KV was there already.
    """

    def __init__(
        self, reasoner: Reasoner, prompt: Prompt, generation: int, kept_tokens: int
    ) -> None:
        """Use ``Reasoner.begin``."""
        self.generation = generation
        self.prompt = prompt
        self.kept_tokens = kept_tokens
        self._reasoner = reasoner
        self._prefilled = kept_tokens
        self._logits: F32 | None = None
        self._first_logits: F32 | None = None
        self._ids: list[int] = []
        self._fed = 0
        self._detokenizer = Detokenizer(reasoner.tokenizer)
        self._done = False

    @property
    def done(self) -> bool:
        """Whether the last token was given."""
        return self._done

    @property
    def prefill_left(self) -> int:
        """Prompt tokens still to be prefilled."""
        return len(self.prompt.embeds) - self._prefilled

    def prefill_step(self) -> bool:
        """Prefill the next chunk of the prompt; True when all of it is in.

        Raises:
            EngineError: a newer answer has begun.
        """
        embeds, plora = self.prompt.embeds, self.prompt.plora_rows
        if self._prefilled == len(embeds):
            return True
        start = self._prefilled
        stop = min(start + self._reasoner.config.prefill_chunk, len(embeds))
        last = stop == len(embeds)
        logits = self._reasoner.append(
            self,
            embeds[start:stop],
            # The head runs for the prompt's last position only.
            rows=np.array([stop - start - 1] if last else [], np.int64),
            plora_rows=plora[np.searchsorted(plora, start) : np.searchsorted(plora, stop)] - start,
        )
        self._prefilled = stop
        if last:
            self._first_logits = logits[0]
            self._logits = None if self._ids else logits[0]
        return last

    def renew(self, prompt: Prompt) -> int:
        """Go on as if ``prompt`` had been the prompt, with the tokens given so far.

        The KV of what both prompts begin with stays; the rest is prefilled by ``prefill_step``,
        and the tokens given by the step after it.

        Returns:
            Tokens of ``prompt`` whose KV stayed.

        Raises:
            EngineError: the prompt is empty or too long, or a newer answer has begun.
        """
        kept = min(_shared(self.prompt, prompt), self._prefilled, len(prompt.embeds) - 1)
        if not 0 <= kept < len(prompt.embeds) <= self._reasoner.prompt_limit:
            raise self.error(f"cannot go on from a prompt of {len(prompt.embeds)} tokens")
        self._reasoner.renew(self, prompt, kept)
        self.prompt = prompt
        self._prefilled, self._fed = kept, 0
        self._logits = self._first_logits = None
        return kept

    def rollback(self, tokens: int) -> None:
        """Go back to when ``tokens`` tokens had been given: KV, text and draws.

        The tokens given from here on are those that were given before.

        Raises:
            EngineError: fewer were given, or a newer answer has begun.
        """
        if not 0 <= tokens <= len(self._ids):
            raise self.error(f"has {len(self._ids)} tokens and cannot go back to {tokens}")
        if tokens == len(self._ids):
            return
        # The last token kept is appended by the step that asks what follows it.
        self._fed = min(self._fed, max(0, tokens - 1))
        if not self.prefill_left:
            self._reasoner.keep(self, len(self.prompt.embeds) + self._fed)
        self._logits = None if tokens else self._first_logits
        del self._ids[tokens:]
        self._done = False
        self._detokenizer = Detokenizer(self._reasoner.tokenizer)
        for token in self._ids:
            self._detokenizer.push(token)

    def step(self) -> AnswerToken:
        """Generate the next token.

        Raises:
            EngineError: a newer answer has begun, the prompt is not prefilled, or it is done.
        """
        if self._done or self._prefilled < len(self.prompt.embeds):
            raise self.error("is already done" if self._done else "is not prefilled yet")
        reasoner = self._reasoner
        if self._logits is None:
            rows = reasoner.embeddings.rows(self._ids[self._fed :])
            self._logits = reasoner.append(self, rows)[0]
            self._fed = len(self._ids)
        # A stream of its own per generation: an answer does not depend on those before it.
        token = sample(self._logits, self._ids, reasoner.sampling, self.generation)
        self._logits = None
        self._ids.append(token)
        stopped = token in reasoner.stop_ids
        self._done = stopped or len(self._ids) == reasoner.config.max_new_tokens
        delta = "" if stopped else self._detokenizer.push(token)
        if self._done:
            delta += self._detokenizer.flush()
        reason = (STOP if stopped else LENGTH) if self._done else ""
        return AnswerToken(token, delta, self._done, reason)

    def error(self, what: str) -> EngineError:
        """The error of using this answer where it cannot be used."""
        return EngineError(
            f"the answer of generation {self.generation} {what}",
            where="reasoner",
            mend="Step an answer only while it is the current one, after its prefill.",
        )


def _shared(one: Prompt, other: Prompt) -> int:
    """How many rows two prompts begin with alike, in embedding and in Partial-LoRA."""
    rows = min(len(one.embeds), len(other.embeds))
    same = (one.embeds[:rows] == other.embeds[:rows]).all(axis=1)
    same &= _partial_lora(one, rows) == _partial_lora(other, rows)
    return rows if same.all() else int(np.argmin(same))


def _partial_lora(prompt: Prompt, rows: int) -> npt.NDArray[np.bool_]:
    """Which of the first ``rows`` rows get Partial-LoRA."""
    flags = np.zeros(rows, np.bool_)
    flags[prompt.plora_rows[prompt.plora_rows < rows]] = True
    return flags
