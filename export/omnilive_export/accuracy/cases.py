"""What engines are measured on: inputs as the stages make them, and what is compared of them.

Data and the arithmetic of feeds only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32, I64
from omnilive_export.accuracy.segments import Array, RunnableGraph, Values


@dataclass(frozen=True, eq=False)
class Case:
    """One run of an engine.

    Attributes:
        feeds: its inputs as the manifest lists them; those of a KV arena are left out.
        expected: what the reference gave, by output.
    """

    feeds: Values
    expected: Values


def arena_feeds(graph: RunnableGraph, feeds: Values) -> Values:
    """The feeds of one block of a decoder with its empty arena; others as they are."""
    names = {t.name for t in graph.inputs}
    if "seqlens_k" not in names:
        return feeds
    tokens = feeds["inputs_embeds"].shape[1]
    arena: dict[str, Array] = {
        "seqlens_k": np.array([tokens - 1], np.int32),
        "total_sequence_length": np.array(tokens, np.int32),
    }
    for t in graph.inputs:
        if t.name not in feeds and t.name not in arena:
            shape = [size if isinstance(size, int) else tokens for size in t.shape]
            arena[t.name] = np.zeros(shape, t.dtype)
    return {**feeds, **arena}


def language_feeds(embeds: F32, rows: I64, plora_rows: I64 | None = None) -> Values:
    """Feeds of a decoder with a head: embeds [S, H], and the rows whose logits are wanted."""
    feeds: Values = {"inputs_embeds": embeds[None], "logit_rows": rows}
    if plora_rows is not None:
        feeds["plora_rows"] = plora_rows
    return feeds


def answer_rows(prompt: int, answer: int) -> I64:
    """Rows that predict the tokens of an answer of ``answer`` tokens after ``prompt`` tokens."""
    return np.arange(prompt - 1, prompt + answer - 1, dtype=np.int64)
