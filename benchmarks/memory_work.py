"""Measures the work that memory takes, and what keeping it saves until the first token.

``python benchmarks/memory_work.py``. Compares the incremental memory with the reference's
algorithm (``memory.algorithm = naive``): ViT calls and LM tokens over an hour, counted at the
reference's geometry; results on real engines; and the time from the endpoint decision to the
first token, in the reference's order and in this runtime's, on engines of full width.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arguments import positive
from memory_answer import WAYS, Answered, Answering
from memory_bars import Report
from memory_counting import REFERENCE, CountingPack, CountingTokenizer, geometry
from memory_equality import TOLERANCE, deviation, same_retrieval
from memory_form import incremental_work, naive_work
from memory_stream import Script, Watched, watch
from memory_wide import LAYERS, wide_pack
from omnilive.config import RuntimeConfig, without_reuse
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.pack import open_pack
from omnilive.errors import OmniLiveError
from omnilive.memory.config import LongTermConfig
from omnilive.reasoning.config import BudgetConfig, ReasoningConfig
from result_file import keep_result
from results import versions

FORMAT = 1
HOUR_S, CLIP_FRAMES = 3_600, 16
ALL_CLIPS = 256
"""A window that holds an hour of full clips: the reference's has no end."""
OPEN_FRAMES = 12
SHOWN_FRAMES = 2
"""Frames an answer is shown, as in the reference's online demo (spec §2.7)."""
QUESTIONS = ("What is the red thing?", "Who came in?", "Where did you see the key?")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code: 1 when ``--check`` found a bar missed."""
    args = _parser().parse_args(argv)
    report = Report()
    try:
        _count_an_hour(report)
        _count_a_busy_hour(report, args.seed)
        _compare_results(report, args.pack, args.streams, args.seed)
        with _folder(args.wide) as folder:
            _time_first_token(report, folder, args)
    except OmniLiveError as e:
        print(f"memory_work.py: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("memory_work.py: stopped; there are no figures", file=sys.stderr)
        return 130
    if code := keep_result("memory_work.py", args.json, _as_json(report, args)):
        return code
    return 1 if args.check and not all(bar.met for bar in report.bars) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memory_work.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--pack",
        type=Path,
        default=Path("engines/micro-fp32"),
        metavar="DIR",
        help="fp32 pack whose results are compared; default: engines/micro-fp32",
    )
    parser.add_argument(
        "--wide",
        type=Path,
        metavar="DIR",
        help="keep the full-width pack here and use it again; without it, it is made and deleted",
    )
    parser.add_argument("--streams", type=positive, default=40, metavar="N", help="default: 40")
    parser.add_argument(
        "--minutes",
        type=positive,
        default=HOUR_S // 60,
        metavar="N",
        help="of stream before the question that is timed; default: 60",
    )
    parser.add_argument("--runs", type=positive, default=3, metavar="N", help="default: 3")
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="default: 2")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument(
        "--check", action="store_true", help="exit code 1 when a bar is missed, 0 when none is"
    )
    return parser


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def _hour_config() -> RuntimeConfig:
    return RuntimeConfig(long_term=LongTermConfig(max_clips=ALL_CLIPS))


def _count(script: Script, config: RuntimeConfig, seed: int) -> tuple[Watched, int]:
    """What a stream gave with counting engines, and the LM tokens that memory took."""
    pack = CountingPack()
    watched = watch(pack, script, config, seed=seed)
    return watched, pack.lm.tokens - watched.question_tokens


def _count_an_hour(report: Report) -> None:
    """One scene of an hour at one frame a second: 225 clips of 16 frames."""
    print("An hour, clips of 16 frames, reference geometry:", flush=True)
    script, config = Script((HOUR_S,)), _hour_config()
    stream = script.stream(config.segmentation.clip_min, CLIP_FRAMES)
    form = geometry(REFERENCE, CountingTokenizer(), ALL_CLIPS)
    ours, tokens = _count(script, config, 0)
    theirs, naive_tokens = _count(script, without_reuse(config), 0)
    expected, naive_expected = incremental_work(stream, form), naive_work(stream, form)
    report.figures["hour"] = {
        "frames": HOUR_S,
        "clips": len(stream.lengths),
        "vit_calls": ours.vit_calls,
        "vit_calls_naive": theirs.vit_calls,
        "lm_tokens": tokens,
        "lm_tokens_closed_form": expected.lm_tokens,
        "lm_tokens_naive": naive_tokens,
        "lm_tokens_naive_closed_form": naive_expected.lm_tokens,
    }
    report.hold(
        "ViT calls", f"{ours.vit_calls} for {HOUR_S} frames (bar: equal)", ours.vit_calls == HOUR_S
    )
    report.hold_ratio("ViT calls, naive over incremental", theirs.vit_calls, ours.vit_calls, 8)
    report.hold_equal("LM tokens", tokens, expected.lm_tokens)
    report.hold_equal("LM tokens, naive", naive_tokens, naive_expected.lm_tokens)
    report.hold_ratio("LM tokens, naive over incremental", naive_tokens, tokens, 50)


def _count_a_busy_hour(report: Report, seed: int) -> None:
    """An hour with cuts anywhere and a question every minute, under the default window."""
    print("An hour with random cuts and a question a minute, default window:", flush=True)
    rng = np.random.default_rng(seed)
    scenes: list[int] = []
    while sum(scenes) < HOUR_S:
        scenes.append(min(int(rng.integers(1, 60)), HOUR_S - sum(scenes)))
    asked = np.arange(0, HOUR_S, 60) + rng.integers(0, 60, HOUR_S // 60)
    script = Script(tuple(scenes), tuple((int(at), QUESTIONS[0]) for at in asked))
    config = RuntimeConfig()
    stream = script.stream(config.segmentation.clip_min, config.segmentation.clip_max)
    form = geometry(REFERENCE, CountingTokenizer(), config.long_term.max_clips)
    watched, tokens = _count(script, config, seed)
    expected = incremental_work(stream, form)
    report.figures["busy_hour"] = {
        "clips": len(stream.lengths),
        "questions": len(script.asks),
        "vit_calls": watched.vit_calls,
        "lm_tokens": tokens,
        "lm_tokens_closed_form": expected.lm_tokens,
    }
    report.hold_equal("ViT calls", watched.vit_calls, HOUR_S)
    report.hold_equal(f"LM tokens ({len(stream.lengths)} clips)", tokens, expected.lm_tokens)


def _compare_results(report: Report, folder: Path, streams: int, seed: int) -> None:
    """Random streams through real engines, both ways."""
    print(f"Results of {streams} random streams on {folder.name}:", flush=True)
    rng = np.random.default_rng(seed)
    worst, questions, same = 0.0, 0, 0
    config = RuntimeConfig()
    with contextlib.closing(open_pack(folder, threads=1)) as pack:
        for stream in range(streams):
            scenes = tuple(int(n) for n in rng.integers(1, 20, 4))
            asks = sorted(
                (int(rng.integers(sum(scenes))), str(rng.choice(QUESTIONS))) for _ in range(3)
            )
            script = Script(scenes, tuple(asks))
            ours = watch(pack, script, config, seed=stream).recalled
            theirs = watch(pack, script, without_reuse(config), seed=stream).recalled
            for a, b in zip(ours, theirs, strict=True):
                questions += 1
                same += same_retrieval(a, b, config.retrieval)
                worst = max(worst, deviation(a.long_term, b.long_term))
                for x, y in zip(a.clips, b.clips, strict=True):
                    worst = max(worst, deviation(x.short_term, y.short_term))
    report.figures["results"] = {
        "pack": folder.name,
        "streams": streams,
        "questions": questions,
        "deviation": worst,
        "same_clips": same,
    }
    report.hold(
        "memory, max|a-b|/rms(b)", f"{worst:.1e} (bar: at most {TOLERANCE})", worst <= TOLERANCE
    )
    report.hold_equal("questions with the same clips retrieved", same, questions)


def _time_first_token(report: Report, folder: Path, args: argparse.Namespace) -> None:
    """Each way to the first token, taken in turn."""
    closed = args.minutes * 60 // CLIP_FRAMES
    print(
        f"Endpoint decision to first token, full width, {LAYERS} layers, {args.minutes} minutes"
        f" ({closed} clips) seen:",
        flush=True,
    )
    config = dataclasses.replace(
        _hour_config(),
        budget=BudgetConfig(max_frames=SHOWN_FRAMES, max_prefill_ms=0),
        reasoning=ReasoningConfig(context_tokens=4096),
    )
    answered: dict[str, list[Answered]] = {way.name: [] for way in WAYS}
    with contextlib.ExitStack() as stack:
        pack = open_pack(wide_pack(folder), threads=args.threads, allow_inaccurate=True)
        stack.callback(pack.close)
        frames = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        answering = Answering(
            pack,
            config,
            frames,
            closed=closed,
            open_frames=OPEN_FRAMES,
            seed=args.seed,
            threads=args.threads,
        )
        for run in range(args.runs):
            for way in WAYS:
                found = answering.answer(way)
                answered[way.name].append(found)
                print(f"    run {run + 1}, {way.name}: {found.seconds:.2f} s", flush=True)
    medians = {
        name: statistics.median(found.seconds for found in runs) for name, runs in answered.items()
    }
    slowest = medians[WAYS[0].name]
    before = slowest
    for way in WAYS:
        gain = (before - medians[way.name]) / slowest
        before = medians[way.name]
        print(f"    {way.name}: {before:.2f} s, {gain:+.0%} of the reference's time saved")
    ratios = [
        ours.seconds / theirs.seconds
        for ours, theirs in zip(answered[WAYS[-1].name], answered[WAYS[0].name], strict=True)
    ]
    first = [runs[0] for runs in answered.values()]
    report.figures["first_token"] = {
        "closed_clips": closed,
        "open_frames": OPEN_FRAMES,
        "layers": LAYERS,
        "prompt_tokens": first[0].first.prompt_tokens,
        "ways": {
            name: {
                "seconds": [found.seconds for found in runs],
                "median": medians[name],
                "kept_tokens": runs[0].first.kept_tokens,
                "stages": [found.stages for found in runs],
            }
            for name, runs in answered.items()
        },
        "ratios": ratios,
    }
    ratio = statistics.median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    report.hold(
        "this runtime's over the reference's order",
        f"{ratio:.2f}, {spread} over {len(ratios)} runs (bar: at most 0.5)",
        ratio <= 0.5,
    )
    alike = all(found.first.selected == first[0].first.selected for found in first)
    report.hold("same clips retrieved", f"{alike} (bar: True)", alike)


def _as_json(report: Report, args: argparse.Namespace) -> dict[str, Any]:
    return {
        "benchmark": "memory_work",
        "format": FORMAT,
        "seed": args.seed,
        "threads": args.threads,
        "machine": device_fingerprint(),
        "versions": versions(),
        "figures": report.figures,
        "bars": [dataclasses.asdict(bar) for bar in report.bars],
    }


if __name__ == "__main__":
    sys.exit(main())
