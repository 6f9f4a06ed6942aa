"""``omnilive plan``: what a pack will need of memory and time, before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from omnilive.config import RuntimeConfig, load_config
from omnilive.engine.manifest_file import read_manifest
from omnilive.errors import ConfigError, FitError
from omnilive.limits import check_range
from omnilive.plan.show import as_data, as_text
from omnilive.plan.verdict import judge, with_forecast

MOST_PIXELS = 16_384


def plan(
    pack_path: str,
    *,
    preset: str,
    config_file: str | None,
    budget: str | None,
    device_budget: str | None,
    frame: str,
    as_json: bool,
) -> int:
    """Print the plan of a pack: a table and a verdict, or one JSON object.

    Args:
        pack_path: folder of the pack; only its manifest is read.
        preset, config_file: the configuration to plan for.
        budget, device_budget: sizes that take the place of the configured ones.
        frame: ``WIDTHxHEIGHT`` of the source's frames.
        as_json: whether programs read it.

    Returns:
        0 when it fits, the exit code of ``FitError`` when it does not.

    Raises:
        OmniLiveError: the pack or an argument cannot be used.
    """
    frame_size = parse_frame(frame)
    config = _with_budget(
        load_config(preset, Path(config_file) if config_file else None), budget, device_budget
    )
    manifest = read_manifest(Path(pack_path))
    verdict = judge(manifest, config, frame_size=frame_size)
    verdict = with_forecast(verdict, manifest, config, frame_size=frame_size)
    print(json.dumps(as_data(verdict), indent=1) if as_json else as_text(verdict))
    return 0 if verdict.fits else FitError.exit_code


def parse_frame(text: str) -> tuple[int, int]:
    """``1280x720`` as width and height in pixels. Raises ConfigError for anything else."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if match is None:
        raise ConfigError(f"is {text!r}", where="--frame", mend="Write WIDTHxHEIGHT: 1280x720.")
    width, height = int(match[1]), int(match[2])
    for side in (width, height):
        check_range("--frame", side, 1, MOST_PIXELS, "pixels")
    return width, height


def _with_budget(config: RuntimeConfig, host: str | None, device: str | None) -> RuntimeConfig:
    given = {name: size for name, size in (("host", host), ("device", device)) if size}
    changed = dataclasses.replace(config.memory_budget, **given)  # type: ignore[arg-type]
    changed.validate()
    return dataclasses.replace(config, memory_budget=changed)
