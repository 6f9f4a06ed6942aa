"""A pack whose answers never end, so that one is always being decoded. It measures nothing."""

from __future__ import annotations

import json
from pathlib import Path

UNUSED_TOKEN = 0
"""Padding of the vocabulary: never decoded."""

ANSWER_TOKENS = 4_000
"""More than is decoded before anybody interrupts."""


def endless_pack(pack: Path, folder: Path) -> Path:
    """A copy of ``pack`` in ``folder`` without an end of answers: links and its own manifest."""
    copy = folder / "pack"
    copy.mkdir(parents=True)
    for item in pack.resolve().iterdir():
        if item.name != "manifest.json":
            (copy / item.name).symlink_to(item)
    manifest = json.loads((pack / "manifest.json").read_text("utf-8"))
    manifest["reasoner"]["stop_ids"] = [UNUSED_TOKEN]
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return copy
