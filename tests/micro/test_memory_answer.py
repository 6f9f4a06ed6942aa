"""Every way to the first token that the benchmark times leads to the same answer."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from memory_answer import WAYS, Answering
from memory_equality import TOLERANCE, deviation
from omnilive.config import RuntimeConfig
from omnilive.engine.pack import open_pack
from omnilive.memory.config import LongTermConfig


def test_no_way_to_the_first_token_changes_it(micro_fp32_pack: Path, tmp_path: Path) -> None:
    config = RuntimeConfig(long_term=LongTermConfig(max_clips=64))
    with closing(open_pack(micro_fp32_pack, threads=1)) as pack:
        answering = Answering(pack, config, tmp_path, closed=40, open_frames=9, seed=5, threads=1)
        reference, *others = [answering.answer(way) for way in WAYS]
    assert reference.first.kept_tokens == 0
    for found in others:
        assert deviation(found.long_term, reference.long_term) <= TOLERANCE
        assert (found.first.selected, found.first.token) == (
            reference.first.selected,
            reference.first.token,
        )
        assert found.first.prompt_tokens == reference.first.prompt_tokens
        assert found.first.kept_tokens > 0
    stages = {"transcribe", "see", "recall", "ground", "check", "answer"}
    assert set(others[-1].stages) == stages
    assert set(reference.stages) == {*stages, "classify"}
