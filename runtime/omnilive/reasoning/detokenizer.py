"""Turns tokens into text as they come, never showing part of a character."""

from __future__ import annotations

from omnilive.engine.interface import Tokenizer

REPLACEMENT = "\ufffd"
"""What decoding gives for bytes that are no character (yet)."""


class Detokenizer:
    """The text of one answer, growing token by token.

    Each step decodes only the tokens since the last settled text and a few before it, because a
    token's text can depend on the one it follows.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Start with no tokens."""
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._context_start = 0
        self._settled = 0

    def push(self, token: int) -> str:
        """Add a token; return the text that is now sure, empty inside a character."""
        self._ids.append(token)
        before, now = self._window()
        if now.endswith(REPLACEMENT) or len(now) <= len(before):
            return ""
        return self._settle(before, now)

    def flush(self) -> str:
        """The rest: a character that never became whole shows as U+FFFD."""
        before, now = self._window()
        return self._settle(before, now)

    def _window(self) -> tuple[str, str]:
        context = self._ids[self._context_start : self._settled]
        everything = self._ids[self._context_start :]
        return self._tokenizer.decode(context), self._tokenizer.decode(everything)

    def _settle(self, before: str, now: str) -> str:
        self._context_start = self._settled
        self._settled = len(self._ids)
        return now[len(before) :]
