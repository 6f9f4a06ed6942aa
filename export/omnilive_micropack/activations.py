"""The command that collects activation statistics from runs on videos of the miniature's world.

``python -m omnilive_micropack.activations --pack DIR --out FILE.npz [--seeds N ...]`` runs whole
sessions, spoken questions and all, and writes what ``--quantizer calibrated`` needs. It never uses
a seed on which something is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from omnilive.config import RuntimeConfig
from omnilive.engine.config import EngineConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import ConfigError, OmniLiveError, OutputError
from omnilive.session.session import RunOptions, Session
from omnilive.sources.media import open_media
from omnilive_export.quantizing.observing import ObservedPack
from omnilive_micropack.programme import plan
from omnilive_micropack.render import STREAM_NAME, render_stream
from omnilive_micropack.seeds import CALIBRATION_SEEDS
from omnilive_micropack.story import make_world

DEFAULT_SEEDS = tuple(CALIBRATION_SEEDS[100:104])
STREAM_SECONDS = 180.0


def run_stream(pack: EnginePack, seed: int, folder: Path, seconds: float = STREAM_SECONDS) -> None:
    """A whole session in virtual time on the video of one calibration seed.

    Args:
        pack: that runs it.
        seed: of the world and of what is asked in it.
        folder: an existing one, for the video and the session's files.
        seconds: length of the video.

    Raises:
        ConfigError: a seed outside the calibration range.
    """
    if seed not in CALIBRATION_SEEDS:
        raise ConfigError(
            f"is {seed}",
            where="--seeds",
            mend=f"Use seeds from {CALIBRATION_SEEDS.start} to {CALIBRATION_SEEDS.stop - 1}.",
        )
    world = make_world(seed, seconds)
    programme = plan(world, spoken=True)
    render_stream(
        folder / STREAM_NAME,
        world,
        programme.spoken,
        asked=programme.asked,
        sounds=programme.sounds,
    )
    config = RuntimeConfig()
    session = Session(pack, config, RunOptions(), folder / "run")
    try:
        with closing(open_media(str(folder / STREAM_NAME), config.source)) as media:
            session.run(media)
    finally:
        session.close()


def collect(opened: EnginePack, seeds: Sequence[int], seconds: float, out: Path) -> dict[str, int]:
    """Run a session per seed with the decoders watched, and write the statistics.

    Args:
        opened: the pack to run, of backend ``ort``, best in fp32.
        seeds: of CALIBRATION_SEEDS.
        seconds: length of each video.
        out: file to write.

    Returns:
        Engine → the number of rows its linears saw.

    Raises:
        ConfigError: a seed outside the calibration range.
        OutputError: the file cannot be written.
    """
    with closing(ObservedPack(opened, EngineConfig())) as pack:
        for seed in seeds:
            with tempfile.TemporaryDirectory(prefix="omnilive-activations-") as folder:
                run_stream(pack, seed, Path(folder), seconds)
        provenance = {
            "pack": opened.manifest.name,
            "precision": opened.manifest.precision,
            "seeds": list(seeds),
            "seconds": seconds,
            "source": dict(opened.manifest.source),
        }
        try:
            return pack.write(out, provenance)
        except OSError as e:
            raise OutputError(
                f"cannot be written ({e.strerror})",
                where=str(out),
                mend="Give --out a file in a folder that may be written to.",
            ) from e


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and collect; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.activations", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, help="engine pack to run, best in fp32")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .npz")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(DEFAULT_SEEDS),
        help=f"videos to use; default: {DEFAULT_SEEDS[0]} to {DEFAULT_SEEDS[-1]}",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=STREAM_SECONDS,
        help="length of each video (default: %(default)g)",
    )
    args = parser.parse_args(argv)
    try:
        with closing(open_pack(args.pack)) as opened:
            rows = collect(opened, args.seeds, args.seconds, args.out)
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    seen = ", ".join(f"{count} rows of {engine}" for engine, count in rows.items())
    print(f"{seen} → {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
