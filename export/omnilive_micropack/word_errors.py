"""Counts the word errors of a transcript. It knows neither audio nor models."""

from __future__ import annotations

from collections.abc import Sequence


def word_errors(truth: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest substitutions, insertions and deletions of words that turn one into the other."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(truth):
        diagonal, row[0] = row[0], i + 1
        for j, other in enumerate(heard):
            best = min(row[j] + 1, row[j + 1] + 1, diagonal + (word != other))
            diagonal, row[j + 1] = row[j + 1], best
    return row[-1]
