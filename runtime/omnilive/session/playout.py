"""What of an answer has been heard: played samples become words. It plays nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.sources.types import us_to_samples
from omnilive.speech.words import Spoken


@dataclass(frozen=True)
class Played:
    """A client's account of what it has played.

    Attributes:
        generation: the answer's.
        samples: how many samples of the answer have sounded, of those it was given, in order.
        final: whether no more of them will sound.
    """

    generation: int
    samples: int
    final: bool = False


@dataclass(frozen=True, eq=False)
class _Piece:
    """A sentence: where its text and its samples begin, and when it is to sound."""

    start: int
    first: int
    start_us: int
    samples: int
    spoken: Spoken


class Ledger:
    """The sentences of one answer with their words; samples are counted over all of them."""

    def __init__(self, said: int = 0) -> None:
        """Begin after the first ``said`` characters of the answer."""
        self._pieces: list[_Piece] = []
        self._said = said
        self.samples = 0

    def add(self, start: int, spoken: Spoken, start_us: int) -> None:
        """A sentence that begins at character ``start`` of the answer, to sound at ``start_us``."""
        # The sound itself is the track's; only its words are needed here.
        silent = Spoken(spoken.text, spoken.samples[:0], spoken.words)
        count = len(spoken.samples)
        self._pieces.append(_Piece(start, self.samples, start_us, count, silent))
        self.samples += count

    def played_at(self, at_us: int) -> int:
        """Samples played by stream time ``at_us``, when every sentence sounds at its time."""
        return sum(
            min(max(us_to_samples(at_us - piece.start_us), 0), piece.samples)
            for piece in self._pieces
        )

    def said(self, played: int) -> int:
        """Characters of the answer up to the last word that ended within ``played`` samples."""
        said = self._said
        for piece in self._pieces:
            in_piece = piece.spoken.said(played - piece.first)
            if in_piece or not piece.spoken.words:
                said = piece.start + in_piece
            if in_piece < len(piece.spoken.text):
                break
        return said
