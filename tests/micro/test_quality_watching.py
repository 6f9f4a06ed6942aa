"""The quality benchmark watches and answers without lanes; a session must come to the same."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from runs import Stream

from omnilive import events
from omnilive.config import load_config
from omnilive.engine.pack import open_pack
from omnilive.session.asking import Ask
from omnilive.session.session import RunOptions, Session
from omnilive.sources.media import open_media
from omnilive.sources.types import US_PER_SECOND, Frame
from scoring.watching import Answering, Watching, keyframe_store

QUESTION = "what is on the table"
ASKED_US = 16 * US_PER_SECOND + 500_000


def test_typed_questions_find_the_clips_and_get_the_answer_that_a_session_gives(
    micro_pack: Path, stream: Stream, tmp_path: Path
) -> None:
    config = load_config("edge")
    log: list[events.Event] = []
    with closing(open_pack(micro_pack, threads=1)) as pack:
        with closing(open_media(str(stream.path), config.source)) as media:
            frames = [item for item in media if isinstance(item, Frame)]
        session = Session(
            pack,
            config,
            RunOptions(),
            tmp_path / "session",
            (lambda event_id, at_us, event: log.append(event),),
        )
        with closing(session), closing(open_media(str(stream.path), config.source)) as media:
            session.run(media, (Ask(QUESTION, ASKED_US),))

        keyframes = keyframe_store(tmp_path / "benchmark", config)
        watching = Watching(pack, config, keyframes)
        for frame in frames:
            if frame.pts_us <= ASKED_US:
                watching.see(frame.pts_us, frame.rgb)
        answering = Answering(pack, config, keyframes)
        grounded = answering.ground(QUESTION, watching.memory())
        answer = answering.answer(grounded)

    (expected,) = [e for e in log if isinstance(e, events.Grounded) and e.utterance < 0]
    (finished,) = [e for e in log if isinstance(e, events.AnswerFinished) and e.utterance < 0]
    assert len(expected.clips) > 1
    assert tuple(clip.index for clip in grounded.known) == expected.clips
    assert grounded.scores.tolist() == pytest.approx(expected.scores, abs=1e-4)
    assert answer == finished.text.strip()
