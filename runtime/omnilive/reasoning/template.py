"""The reasoner's chat template as token ids (spec §1.5, §1.6).

Turn markers come from here alone: the words of a user or of the configuration never become one.
"""

from __future__ import annotations

from omnilive.engine.interface import Tokenizer

TURN_START, TURN_END = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]"


class ChatTemplate:
    """Token ids of turns and words for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, bos_id: int) -> None:
        """Take the reasoner's tokenizer and the id that begins every prompt."""
        self._tokenizer = tokenizer
        self._bos_id = bos_id

    def head(self, system: str) -> list[int]:
        """BOS, the system turn unless ``system`` is empty, and the start of the user's turn."""
        turn = [*self._marked(f"{TURN_START}system\n"), *self.words(system), *self._end()]
        return [
            self._bos_id,
            *(turn if system else ()),
            *self._marked(f"{TURN_START}user\n"),
        ]

    def tail(self, question: str, answer_prefix: str = "") -> list[int]:
        """The question, the end of the user's turn and the beginning of the answer."""
        return [
            *self.words(question),
            *self._end(),
            *self._marked(f"{TURN_START}assistant\n"),
            *self.words(answer_prefix),
        ]

    def words(self, text: str) -> list[int]:
        """Ids of plain text, in which no marker is recognised."""
        return self._tokenizer.encode(text)

    def _end(self) -> list[int]:
        return self._marked(f"{TURN_END}\n")

    def _marked(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, allow_special=True)
