"""The demo: makes two minutes of video with spoken questions and runs the assistant on it.

``python -m omnilive_micropack.demo --pack engines/micro --out out/demo``. The assistant gets the
file and nothing else: it never sees the world or the truth beside the file, which its answers are
compared with when the run is over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omnilive.cli.main import main as omnilive
from omnilive.engine.manifest import MANIFEST_NAME, from_json
from omnilive.errors import OmniLiveError
from omnilive.events import from_json as event_from_json
from omnilive_micropack.demo_programme import demo_programme
from omnilive_micropack.outcomes import Outcome, outcomes
from omnilive_micropack.render import make_stream
from omnilive_micropack.seeds import TEST_SEEDS
from omnilive_micropack.story import make_world
from omnilive_micropack.truth import StreamTruth

DEMO_SEED = TEST_SEEDS.start + 34
DEMO_SECONDS = 110.0
SCENE_SECONDS = (9.0, 16.0)
EVENTS_NAME = "events.jsonl"

UNTRAINED_NOTE = """\
This pack was built from seeded random weights: every word above is noise, transcripts and answers
alike, and so is the verdict on which utterances ask for an answer. What is real: the timeline, the
clips, the course of retrieval, the token counts and the times."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make the stream, run the assistant on it and compare; return the run's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.demo", description=__doc__)
    parser.add_argument("--pack", type=Path, default=Path("engines/micro"), help="engine pack")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for results")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="seed of the video")
    args = parser.parse_args(argv)
    world = make_world(args.seed, DEMO_SECONDS, scene_seconds=SCENE_SECONDS)
    try:
        truth = make_stream(args.out, world, demo_programme(world))
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    print(f"{args.out / truth.name}: {world.duration_s:.0f} s, {len(world.scenes)} scenes")
    asks = [f"{a.question.text}@{a.question.asked_s:g}" for a in truth.asked if a.item is None]
    code = omnilive(
        ["run", str(args.out / truth.name), "--pack", str(args.pack), "--out", str(args.out)]
        + [word for ask in asks for word in ("--ask", ask)]
    )
    if code:
        return code
    print("\n" + comparison(truth, args.out))
    manifest = from_json((args.pack / MANIFEST_NAME).read_text("utf-8"), pack=args.pack)
    if not manifest.trained:
        print(f"\n{UNTRAINED_NOTE}")
    return 0


def comparison(truth: StreamTruth, folder: Path) -> str:
    """Each thing said or typed with what was answered, and whether that is accepted.

    Raises:
        OSError: the run's event log cannot be read.
    """
    lines = (folder / EVENTS_NAME).read_text(encoding="utf-8").splitlines()
    found = outcomes(truth, [event_from_json(line)[2] for line in lines])
    questions = [outcome for outcome in found if outcome.asked is not None]
    right = sum(outcome.right for outcome in questions)
    return "\n".join(
        [
            "What was asked, what was answered:",
            *map(_row, found),
            f"{right} of {len(questions)} questions have an accepted answer.",
        ]
    )


def _row(outcome: Outcome) -> str:
    mark = "right" if outcome.right else "wrong"
    answer = f"(no answer: {outcome.ending})"
    if outcome.answer is not None:
        answer = f"“{outcome.answer}”" + " (interrupted)" * (outcome.ending == "cancelled")
    expected = "no answer" if outcome.asked is None else outcome.asked.question.answer
    ending = "" if outcome.right else f", expected: {expected}"
    typed = " (typed)" if outcome.asked is not None and outcome.asked.item is None else ""
    return f"  {outcome.at_s:6.1f} s  {mark}  {outcome.said}{typed} → {answer}{ending}"


if __name__ == "__main__":
    raise SystemExit(main())
