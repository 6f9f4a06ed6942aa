"""The words of the reasoner's prompts as token ids, by the runtime's own template.

It knows no embedding and no picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnilive.engine.tokenizers import SentencePieceTokenizer
from omnilive.reasoning.config import QUESTION_MARK, InstructionConfig, PromptConfig
from omnilive.reasoning.template import TURN_END, ChatTemplate
from omnilive_micropack.vocabulary import COLOURS, FIGURES, OBJECTS, PLACES, PLURALS, ROOMS

BOS_ID = 1
YES, NO = "Yes", "No"


@dataclass(frozen=True)
class Tail:
    """A question and its answer, as ids.

    Attributes:
        ids: the question's words, the turn's end and beginning, the answer and its end.
        asked: length of the question's words.
        start: index in ``ids`` of the answer's first token.
    """

    ids: tuple[int, ...]
    asked: int
    start: int


class PromptText:
    """Token ids of every part of a prompt."""

    def __init__(self, model: bytes) -> None:
        """Take a serialized SentencePiece model."""
        self.tokenizer = SentencePieceTokenizer(model, Path("tokenizer.model"))
        self._template = ChatTemplate(self.tokenizer, BOS_ID)
        config = PromptConfig()
        self.head = tuple(self._template.head(config.system_prompt_en))
        self.overview = tuple(self._template.words(config.overview_label))
        self.related = tuple(self._template.words(config.related_label))
        before, after = config.question_template.split(QUESTION_MARK)
        # The lead is the same for every question, so it is shared like the evidence.
        self.lead = tuple(self._template.words(before.rstrip()))
        self._after = after
        self.stop = self.tokenizer.encode(TURN_END, allow_special=True)[0]
        self._pieces: dict[str, int] = {}
        self._close = tuple(self._template.tail(""))
        things = (*OBJECTS, *FIGURES, *ROOMS, *(place.split()[-1] for place in PLACES))
        self.spoken_names = (*COLOURS, *things)
        self.colours = frozenset(map(self.piece, COLOURS))
        self.names = frozenset(map(self.piece, (*things, *PLURALS.values())))

    def tail(self, question: str, answer: str) -> Tail:
        """The part of a prompt that follows ``lead``, with the answer behind it."""
        words = self._template.words(f" {question}{self._after}")
        start = len(words) + len(self._close)
        ids = (*words, *self._close, *self._template.words(answer), self.stop)
        return Tail(ids, len(words), start)

    def instruction(self, text: str, is_instruction: bool) -> Tail:
        """The yes/no prompt about ``text`` (without its BOS and turn start) and its answer."""
        asked = InstructionConfig().template.replace(QUESTION_MARK, text)
        words = self._template.words(asked)
        answer = self._template.words(YES if is_instruction else NO)
        ids = (*words, *self._close, *answer, self.stop)
        return Tail(ids, len(words), len(words) + len(self._close))

    @property
    def instruction_head(self) -> tuple[int, ...]:
        """What comes before the yes/no question: BOS and the start of the user's turn."""
        return tuple(self._template.head(""))

    def piece(self, word: str) -> int:
        """Id of a word with a space before it, by its first piece."""
        if word not in self._pieces:
            self._pieces[word] = self.tokenizer.encode(f" {word}")[0]
        return self._pieces[word]
