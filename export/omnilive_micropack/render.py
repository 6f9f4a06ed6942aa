"""Video files of a world with what is said in it, and the truth about them beside the file.

``python -m omnilive_micropack.render --seed N --minutes M [--questions spoken|typed] --out DIR``
writes ``stream.mp4`` and ``truth.jsonl``. It writes what it is given; worlds and questions are
invented elsewhere.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.progress import Progress

from omnilive.errors import ConfigError, OmniLiveError, OutputError
from omnilive.sources.types import SAMPLE_RATE_HZ
from omnilive_micropack.encoding import VideoForm, write_file
from omnilive_micropack.painting import paint
from omnilive_micropack.programme import Programme, plan
from omnilive_micropack.seeds import TEST_SEEDS, generator
from omnilive_micropack.sounds import synthesize
from omnilive_micropack.soundtrack import Piece, Soundtrack
from omnilive_micropack.speech import SpokenItem, say
from omnilive_micropack.story import make_world
from omnilive_micropack.truth import Asked, SoundEvent, StreamTruth, truth_lines
from omnilive_micropack.world import World

NOISE_RMS = 0.0005
"""Background noise of a quiet room, of full scale 1.0: -66 dB."""

SOUND_PEAK = 0.12
"""Peak of background sounds, of full scale 1.0: quieter than speech."""

STREAM_NAME = "stream.mp4"
MINUTES = (1.0, 120.0)
"""Lengths of stream that the command makes."""


def render_stream(
    path: Path,
    world: World,
    spoken: Sequence[SpokenItem] = (),
    *,
    asked: Sequence[Asked] = (),
    sounds: Sequence[SoundEvent] = (),
    size: tuple[int, int] = (640, 360),
    fps: int = 10,
    rotation: int = 0,
    noise_rms: float = NOISE_RMS,
    sound: bool = True,
    on_second: Callable[[int], None] | None = None,
) -> StreamTruth:
    """Write an H.264 + AAC file to ``path`` and ``truth.jsonl`` beside it.

    Args:
        path: the file; its ending names the container, usually ``.mp4``.
        world: what is shown.
        spoken: what is said, in order of time.
        asked: the questions among it, and typed ones, for the truth.
        sounds: background sounds, in order of time.
        size: upright width and height in pixels, both even.
        fps: frames per second of the file.
        rotation: degrees by which a player turns the stored pictures clockwise to show them
            upright, as phones write it.
        noise_rms: background noise, of full scale 1.0.
        sound: False leaves the audio track out altogether.
        on_second: called with the number of seconds written so far.

    Raises:
        OutputError: a file cannot be written.
        SetupError: PyAV lacks an encoder.
        ValueError: an odd size, another rotation, speech that does not fit, or speech in a file
            without sound.
    """
    form = VideoForm(size, fps, rotation)
    if spoken and not sound:
        raise ValueError("a file without sound cannot hold speech")
    pieces, spoken_truth = say(spoken, world.duration_s)
    pieces += [_sound_piece(world.seed, event) for event in sounds]
    track = Soundtrack(world.seed, round(world.duration_s * SAMPLE_RATE_HZ), noise_rms, pieces)
    truth = StreamTruth(
        path.name,
        world,
        round(world.duration_s * 1_000_000),
        tuple(round(cut * 1_000_000) for cut in world.cuts_s),
        tuple(spoken_truth),
        tuple(asked),
        tuple(sounds),
    )
    try:
        write_file(
            path,
            lambda at_s: paint(world, at_s, size),
            track.seconds() if sound else None,
            world.duration_s,
            form,
            on_second,
        )
        truth_path = path.parent / "truth.jsonl"
        truth_path.write_text(truth_lines(truth), encoding="utf-8")
    except OSError as e:
        raise OutputError(
            f"cannot be written ({e.strerror or e})",
            where=str(path),
            mend="Free space there or choose another folder.",
        ) from e
    return truth


def _sound_piece(seed: int, event: SoundEvent) -> Piece:
    rng = generator(seed, f"sound {event.start_s}")
    samples = synthesize(rng, event.label, event.end_s - event.start_s)
    return Piece(round(event.start_s * SAMPLE_RATE_HZ), samples * np.float32(SOUND_PEAK))


def make_stream(folder: Path, world: World, programme: Programme) -> StreamTruth:
    """Write a world with its programme as ``stream.mp4`` and ``truth.jsonl`` into ``folder``.

    On a terminal a bar shows the progress.

    Raises:
        OutputError: the folder or a file cannot be written.
        SetupError: the voice or an encoder is missing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"cannot be made ({e.strerror or e})",
            where=str(folder),
            mend="Choose another folder with --out.",
        ) from e
    with Progress(disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("painting and speaking", total=world.duration_s)
        return render_stream(
            folder / STREAM_NAME,
            world,
            programme.spoken,
            asked=programme.asked,
            sounds=programme.sounds,
            on_second=lambda seconds: bar.update(task, completed=seconds),
        )


def run_command(video: Path, asked: Sequence[Asked]) -> str:
    """The command that puts the stream through the assistant, with the questions to be typed."""
    words = ["omnilive", "run", str(video), "--pack", "engines/micro", "--out", str(video.parent)]
    for one in asked:
        if one.item is None:
            words += ["--ask", f"{one.question.text}@{one.question.asked_s:g}"]
    return shlex.join(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and write a stream; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.render", description=__doc__)
    parser.add_argument(
        "--seed", type=int, required=True, help=f"of the world; for tests {TEST_SEEDS.start} on"
    )
    parser.add_argument("--minutes", type=float, required=True, help="length, 1 to 120")
    parser.add_argument("--questions", choices=("spoken", "typed"), default="spoken")
    parser.add_argument(
        "--no-sounds", action="store_true", help="leave background sounds out of the stream"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    args = parser.parse_args(argv)
    try:
        if not MINUTES[0] <= args.minutes <= MINUTES[1]:
            raise ConfigError(
                f"is {args.minutes:g}",
                where="--minutes",
                mend=f"Choose from {MINUTES[0]:g} to {MINUTES[1]:g} minutes.",
            )
        if not 0 <= args.seed < TEST_SEEDS.stop:
            raise ConfigError(
                f"is {args.seed}",
                where="--seed",
                mend=f"Choose from 0 to {TEST_SEEDS.stop - 1}.",
            )
        world = make_world(args.seed, args.minutes * 60)
        spoken = args.questions == "spoken"
        programme = plan(world, spoken=spoken, sounds=spoken and not args.no_sounds)
        make_stream(args.out, world, programme)
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    video = args.out / STREAM_NAME
    print(
        f"{video}: {world.duration_s:.0f} s, {len(world.scenes)} scenes, "
        f"{len(programme.asked)} questions\n\n{run_command(video, programme.asked)}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
