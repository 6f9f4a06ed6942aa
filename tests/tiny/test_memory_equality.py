"""Incremental memory equals the reference's recomputation, whatever is cut and asked when."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_equality import TOLERANCE, deviation, same_retrieval
from memory_stream import Recalled, Script, watch
from omnilive.config import RuntimeConfig, without_reuse
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.memory.config import (
    CompressionConfig,
    LongTermConfig,
    RetrievalConfig,
    SegmentationConfig,
)
from omnilive_export.cli import main as build_engines
from omnilive_micropack.checkpoint import write_checkpoint
from omnilive_micropack.dimensions import MICRO, VisionDims

pytestmark = pytest.mark.tiny

STREAMS = 500
"""Random streams compared (issue: at least 500)."""

SMALLEST = dataclasses.replace(
    MICRO,
    memory_tower=VisionDims(pixels=56, patch=14, width=64, layers=2, heads=2, mlp=64),
    memory_lm=dataclasses.replace(MICRO.memory_lm, width=64, layers=2, heads=2, kv_heads=1, mlp=64),
)
"""As small as blocks and heads allow: the test is about what is kept, not about sums."""


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnginePack]:
    """The smallest family, seeded weights, fp32."""
    folder: Path = tmp_path_factory.mktemp("equality")
    write_checkpoint(folder / "checkpoint", SMALLEST, seed=3)
    arguments = ["--checkpoint", str(folder / "checkpoint"), "--out", str(folder / "pack")]
    assert build_engines([*arguments, "--precision", "fp32"]) == 0
    opened = open_pack(folder / "pack", threads=1, allow_inaccurate=True)
    yield opened
    opened.close()


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Up to five scenes with cuts anywhere, and questions after any frames."""
    scenes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    words = st.sampled_from(["What is the red thing?", "Who came in?", "红色的是什么"])
    asks = st.lists(st.tuples(st.integers(0, sum(scenes) - 1), words), min_size=1, max_size=4)
    return Script(tuple(scenes), tuple(sorted(draw(asks))))


def assert_equal(incremental: Recalled, naive: Recalled) -> None:
    assert deviation(incremental.long_term, naive.long_term) <= TOLERANCE
    for ours, theirs in zip(incremental.clips, naive.clips, strict=True):
        assert deviation(ours.short_term, theirs.short_term) <= TOLERANCE
        assert deviation(ours.global_memory, theirs.global_memory) <= TOLERANCE
    np.testing.assert_allclose(incremental.scores, naive.scores, atol=TOLERANCE)
    assert same_retrieval(incremental, naive, RetrievalConfig())


@settings(max_examples=STREAMS)
@given(scripts(), st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(9, 120))
def test_any_stream_is_remembered_as_if_everything_were_recomputed(
    pack: EnginePack, script: Script, seed: int, max_clips: int, step_tokens: int
) -> None:
    config = RuntimeConfig(
        segmentation=SegmentationConfig(clip_min=2, clip_max=4),
        compression=CompressionConfig(step_tokens=step_tokens),
        long_term=LongTermConfig(max_clips=max_clips, step_tokens=step_tokens),
        retrieval=RetrievalConfig(step_tokens=step_tokens),
    )
    incremental = watch(pack, script, config, seed=seed)
    # The reference prefills in one block; the steps are part of what must not matter.
    whole = dataclasses.replace(
        without_reuse(config),
        compression=CompressionConfig(step_tokens=4096),
        long_term=LongTermConfig(max_clips=max_clips, step_tokens=4096),
    )
    naive = watch(pack, script, whole, seed=seed)
    assert len(incremental.recalled) == len(naive.recalled) == len(script.asks)
    for ours, theirs in zip(incremental.recalled, naive.recalled, strict=True):
        assert_equal(ours, theirs)
