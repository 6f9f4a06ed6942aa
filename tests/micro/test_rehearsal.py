"""Before a service is ready, everything a session does has been done once."""

from __future__ import annotations

from pathlib import Path

from omnilive.config import load_config
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.events import Event
from omnilive.memory.config import SegmentationConfig
from omnilive.session.rehearsal import rehearse


def test_a_rehearsal_sees_a_whole_clip_hears_a_question_and_answers_it_aloud(
    micro_pack: Path,
) -> None:
    said: list[Event] = []
    pack: EnginePack = open_pack(micro_pack)
    rehearse(pack, load_config("edge"), (lambda _id, _at, event: said.append(event),))
    pack.close()
    kinds = [event.kind for event in said]
    for kind in ("transcribed", "clip_compressed", "memory_integrated", "evidence_chosen"):
        assert kind in kinds
    assert kinds.count("answer_finished") == 2
    assert "sentence_spoken" in kinds
    encoded = kinds.count("frame_encoded")
    assert encoded > SegmentationConfig().clip_max
    assert "frame_dropped" not in kinds
