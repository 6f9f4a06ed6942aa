"""Small pictures of keyframes, each put into the page once and shown from there many times.

Bounded in bytes per picture and in pictures. It reads keyframe files and never removes one.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from omnilive.report.markup import esc

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_QUALITIES = (60, 45, 30, 15)


@dataclass(frozen=True)
class ThumbnailLimits:
    """What the pictures of one page may take."""

    pictures: int = 800
    """Pictures in the page."""
    strip: int = 200
    """So many of them are set aside for the timeline."""
    picture_bytes: int = 4_500
    """Bytes of one JPEG; base64 makes it a third larger."""
    side: int = 160
    """Longest side, pixels."""


@dataclass(frozen=True)
class _Picture:
    symbol: str
    width: int
    height: int
    jpeg: bytes


class Thumbnails:
    """The pictures of one page. A picture counts against the limit when it is first used."""

    def __init__(self, folder: Path, limits: ThumbnailLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._set_aside = min(limits.strip, limits.pictures)
        self._pictures: dict[str, _Picture | None] = {}
        self._held = 0
        self.refused = 0

    @property
    def room(self) -> int:
        """Pictures that may still be added."""
        return self._limits.pictures - self._set_aside - self._held

    def open_strip(self) -> None:
        """Let what was set aside for the timeline be used, too."""
        self._set_aside = 0

    def size(self, keyframe: str) -> tuple[int, int] | None:
        """(width, height) of the picture of ``keyframe``, or None when there is none to show."""
        picture = self._picture(keyframe)
        return None if picture is None else (picture.width, picture.height)

    def inline(self, keyframe: str, label: str) -> str:
        """An HTML element that shows ``keyframe``; a box that says why when it cannot."""
        picture = self._picture(keyframe)
        if picture is None:
            why = "not kept" if keyframe in self._pictures else "page full"
            return f'<span class="thumb gone" role="img" aria-label="{esc(label)}">{why}</span>'
        return (
            f'<svg class="thumb" viewBox="0 0 {picture.width} {picture.height}" role="img"'
            f' aria-label="{esc(label)}"><title>{esc(label)}</title>'
            f'<use href="#{picture.symbol}"/></svg>'
        )

    def placed(self, keyframe: str, x: float, y: float, height: float) -> str:
        """An SVG element that shows ``keyframe`` with its top left at (x, y), or nothing."""
        picture = self._picture(keyframe)
        if picture is None:
            return ""
        width = height * picture.width / picture.height
        return (
            f'<use href="#{picture.symbol}" x="{x:.1f}" y="{y:.1f}"'
            f' width="{width:.1f}" height="{height:.1f}"/>'
        )

    def definitions(self) -> str:
        """The hidden element that holds every picture used so far."""
        symbols = "".join(
            f'<symbol id="{p.symbol}" viewBox="0 0 {p.width} {p.height}">'
            f'<image width="{p.width}" height="{p.height}"'
            f' href="data:image/jpeg;base64,{base64.b64encode(p.jpeg).decode("ascii")}"/></symbol>'
            for p in self._pictures.values()
            if p is not None
        )
        return f'<svg class="pictures" width="0" height="0" aria-hidden="true">{symbols}</svg>'

    def _picture(self, keyframe: str) -> _Picture | None:
        if keyframe in self._pictures:
            return self._pictures[keyframe]
        if self.room <= 0:
            self.refused += 1
            return None
        picture = self._load(keyframe)
        self._held += picture is not None
        self._pictures[keyframe] = picture
        return picture

    def _load(self, keyframe: str) -> _Picture | None:
        """Read and shrink one keyframe; None when it was evicted, or is no picture any more."""
        if not _SAFE_ID.fullmatch(keyframe):
            return None
        side = (self._limits.side, self._limits.side)
        try:
            with Image.open(self._folder / f"{keyframe}.jpg") as image:
                image.draft("RGB", (2 * side[0], 2 * side[1]))
                small = image.convert("RGB")
        except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError):
            return None
        small.thumbnail(side, Image.Resampling.BICUBIC)
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= self._limits.picture_bytes:
                return _Picture(
                    f"p{len(self._pictures)}", small.width, small.height, buffer.getvalue()
                )
        return None
