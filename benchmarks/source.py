"""Makes the benchmark's own minute of video with spoken questions, in a process of its own.

``python benchmarks/source.py FILE.mp4 SEED`` writes the file and ``truth.jsonl`` beside it. The
painting and encoding happen outside the process that is measured, so they are in none of its
figures.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from omnilive.errors import OmniLiveError, SetupError

SECONDS = 66.0
SEED = 2_000_100
"""Of the seeds nothing is fitted on (``omnilive_micropack.seeds.TEST_SEEDS``)."""

BARGE_IN_S = 0.9
"""After the last voiced sample of the question before: the first words of its answer sound then,
and the miniature's answers have few."""

QUESTIONS: tuple[tuple[float | None, str, str], ...] = (
    (4.0, "en", "What do you see now?"),
    (12.0, "en", "Where did you see the red mug?"),
    (None, "en", "Wait, who is in the room now?"),
    (25.0, "en", "What is on the table?"),
    (None, "en", "Stop, what color is the chair?"),
    (38.0, "zh", "现在桌子上有什么？"),
    (46.0, "en", "What changed in the last minute?"),
    (None, "en", "No, tell me about the first room."),
    (58.0, "en", "Is anybody there?"),
)
"""When (seconds; None barges in on the answer to the one before), in which language, what."""


def make_source(path: Path, seed: int = SEED) -> None:
    """Write the video and its truth in a child process.

    Raises:
        SetupError: the child failed; its own message says why.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(path), str(seed)], capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupError(
            f"could not make its own video ({last})",
            where="benchmark",
            mend="Mend that, or give a video with --source.",
        )


def _main() -> int:
    from omnilive.sources.types import SAMPLE_RATE_HZ
    from omnilive_micropack.render import render_stream
    from omnilive_micropack.speech import SPEAKERS, SpokenItem, speak, voiced_span
    from omnilive_micropack.story import make_world

    path, seed = Path(sys.argv[1]), int(sys.argv[2])
    world = make_world(seed, SECONDS, scene_seconds=(7.0, 12.0))
    items: list[SpokenItem] = []
    quiet_from_s = 0.0
    for i, (planned_s, language, text) in enumerate(QUESTIONS):
        speaker = SPEAKERS[i % len(SPEAKERS)]
        first, last = voiced_span(speak(text, language, speaker))
        at_s = planned_s
        if at_s is None:
            at_s = quiet_from_s + BARGE_IN_S - first / SAMPLE_RATE_HZ
        items.append(SpokenItem(text, at_s, language=language, speaker=speaker))
        quiet_from_s = at_s + last / SAMPLE_RATE_HZ
    try:
        render_stream(path, world, items)
    except OmniLiveError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main())
