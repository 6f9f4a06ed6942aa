"""What a client did wrong, as the protocol names it. Nothing here is a fault of the service."""

from __future__ import annotations

FATAL = frozenset({"unauthorized", "too_large", "flood", "no_hello", "too_many_errors"})
"""Codes after which the connection is closed."""


class ProtocolError(ValueError):
    """A message that the protocol does not allow.

    Attributes:
        code: one of the codes in ``docs/protocol.md``.
        what: one clause for the client's developer; never echoes the client's bytes.
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what

    @property
    def fatal(self) -> bool:
        """Whether the connection ends with it."""
        return self.code in FATAL
