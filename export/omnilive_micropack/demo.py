"""The demo: makes a minute of video with spoken questions and runs the assistant on it.

``python -m omnilive_micropack.demo --pack engines/micro --out out/demo``. The assistant gets the
file and nothing else: it never sees the script or the truth beside the file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omnilive.cli.main import main as omnilive
from omnilive.engine.manifest import MANIFEST_NAME, from_json
from omnilive.errors import OmniLiveError, OutputError
from omnilive_micropack.render import render_stream
from omnilive_micropack.scenes import Scene, Script, Thing, make_script
from omnilive_micropack.seeds import TEST_SEEDS
from omnilive_micropack.speech import SPEAKERS, SpokenItem
from omnilive_micropack.vocabulary import FIGURES

DEMO_SEED = TEST_SEEDS.start + 3
DEMO_SECONDS = 66.0
SCENE_SECONDS = (9.0, 13.0)

LOOKED_AT_S = 6.0
FILLER_S = 15.0
REMEMBERED_S = 22.0
BARGE_IN_S = 30.0
"""While the answer to the question before is still spoken."""

CHINESE_S = 40.0
COLOUR_S = 55.0
TYPED_S = 62.0
TYPED_QUESTION = "What changed in the last minute?"

UNTRAINED_NOTE = """\
This pack was built from seeded random weights: every word above is noise, transcripts and answers
alike, and so is the verdict on which utterances ask for an answer. What is real: the timeline, the
clips, the course of retrieval, the token counts and the times."""


def _object_of(scene: Scene, at_s: float) -> Thing:
    """An object of a scene that is in the picture at a time, else its first one."""
    objects = [thing for thing in scene.things if thing.kind not in FIGURES]
    return next((thing for thing in objects if thing.visible(at_s)), objects[0])


def spoken_items(script: Script) -> list[SpokenItem]:
    """What the user says in the demo: questions, a filler, a barge-in, one question in Chinese."""
    first = script.scenes[0]
    remembered = _object_of(first, first.start_s)
    present = _object_of(script.scene_at(COLOUR_S), COLOUR_S)
    return [
        SpokenItem("What do you see now?", LOOKED_AT_S, speaker=SPEAKERS[0]),
        SpokenItem("um, okay", FILLER_S, speaker=SPEAKERS[1], kind="filler"),
        SpokenItem(
            f"Where did you see the {remembered.colour} {remembered.kind}?",
            REMEMBERED_S,
            speaker=SPEAKERS[0],
        ),
        SpokenItem("Wait, who is in the room now?", BARGE_IN_S, speaker=SPEAKERS[2]),
        SpokenItem("现在桌子上有什么？", CHINESE_S, language="zh", speaker=SPEAKERS[1]),
        SpokenItem(f"What color is the {present.kind}?", COLOUR_S, speaker=SPEAKERS[3]),
    ]


def make_stream(folder: Path, seed: int = DEMO_SEED) -> Path:
    """Write ``stream.mp4`` and ``truth.jsonl`` into ``folder``; return the video's path.

    Raises:
        OutputError: the folder or a file cannot be written.
        OmniLiveError: the voice or an encoder is missing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"cannot be made ({e.strerror or e})",
            where=str(folder),
            mend="Choose another folder with --out.",
        ) from e
    script = make_script(seed, DEMO_SECONDS, scene_seconds=SCENE_SECONDS)
    video = folder / "stream.mp4"
    truth = render_stream(video, script, spoken_items(script))
    print(f"{video}: {script.duration_s:.0f} s, {len(script.scenes)} scenes; what is said in it:")
    for spoken in truth.spoken:
        print(f"  {spoken.start_us / 1e6:5.1f} s  {spoken.item.kind:8}  {spoken.item.text}")
    return video


def main(argv: Sequence[str] | None = None) -> int:
    """Make the stream and run the assistant on it; return the run's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.demo", description=__doc__)
    parser.add_argument("--pack", type=Path, default=Path("engines/micro"), help="engine pack")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for results")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="seed of the video")
    args = parser.parse_args(argv)
    try:
        video = make_stream(args.out, args.seed)
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    ask = f"{TYPED_QUESTION}@{TYPED_S}"
    code = omnilive(
        ["run", str(video), "--pack", str(args.pack), "--out", str(args.out), "--ask", ask]
    )
    if code:
        return code
    manifest = from_json((args.pack / MANIFEST_NAME).read_text("utf-8"), pack=args.pack)
    if not manifest.trained:
        print(f"\n{UNTRAINED_NOTE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
