"""HTML text and numbers for people. Every text from a log passes through ``esc`` here."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

MAX_TEXT = 2_000
"""Characters of any one text that the page shows; a log may hold far longer ones."""

_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160))}
_CONTROLS.update({9: " ", 10: " ", 13: " "})
_CONTROLS.update(dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"))


def esc(text: str, limit: int = MAX_TEXT) -> str:
    """``text`` as HTML text or attribute value, without control characters, cut at ``limit``."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return html.escape(cut.translate(_CONTROLS), quote=True)


def clock(us: int) -> str:
    """A moment of stream time: ``0:07.3``, ``1:02:03.0``."""
    tenths = round(us / 100_000)
    seconds, tenth = divmod(abs(tenths), 10)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    sign = "-" if tenths < 0 else ""
    if hours:
        return f"{sign}{hours}:{minute:02d}:{second:02d}.{tenth}"
    return f"{sign}{minute}:{second:02d}.{tenth}"


def span(start_us: int, end_us: int) -> str:
    """An interval of stream time."""
    return f"{clock(start_us)}–{clock(end_us)}"


def duration(us: float) -> str:
    """A length of time with three digits or so: ``340 µs``, ``12.3 ms``, ``512 ms``, ``1.53 s``."""
    size = abs(us)
    if size < 1_000:
        return f"{us:.0f} µs"
    if size < 10_000:
        return f"{us / 1e3:.2f} ms"
    if size < 100_000:
        return f"{us / 1e3:.1f} ms"
    if size < 1_000_000:
        return f"{us / 1e3:.0f} ms"
    if size < 100_000_000:
        return f"{us / 1e6:.2f} s"
    return f"{us / 1e6:.0f} s"


_BROAD = frozenset("%@&MWmw#_~+=<>")


def text_width(text: str, char_px: float) -> float:
    """About how wide ``text`` is drawn, pixels: ``char_px`` is that of a small letter.

    Wide and possibly wide characters count twice, broad letters and signs one and a half times.
    """
    return sum(_cells(c) for c in text) * char_px


def _cells(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WFA":
        return 2.0
    return 1.5 if character in _BROAD else 1.2 if character.isupper() else 1.0


def fitted(text: str, width_px: float, char_px: float) -> str:
    """``text`` cut with an ellipsis to fit ``width_px``; empty when hardly a letter fits."""
    most = int(width_px / char_px) + 1
    if len(text) <= most and text_width(text, char_px) <= width_px:
        return text
    room = width_px - text_width("…", char_px)
    kept = 0
    for character in text[:most]:
        room -= text_width(character, char_px)
        if room < 0:
            break
        kept += 1
    return text[:kept].rstrip() + "…" if kept >= 3 else ""


def thinned(items: Sequence[T], limit: int) -> tuple[T, ...]:
    """At most ``limit`` of ``items``, evenly spread; ``limit`` ≥ 1."""
    if len(items) <= limit:
        return tuple(items)
    return tuple(items[i * len(items) // limit] for i in range(limit))


def definitions(facts: Iterable[tuple[str, str]]) -> str:
    """A list of what something is, each with its value; nothing when there are none."""
    items = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in facts)
    return f'<dl class="facts">{items}</dl>' if items else ""


def frame_name(keyframe: str) -> str:
    """Keyframe ids end in their PTS in microseconds; anything else is shown as it is."""
    digits = keyframe.rpartition("-")[2]
    return f"frame at {clock(int(digits))}" if digits.isascii() and digits.isdigit() else keyframe
