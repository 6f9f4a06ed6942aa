"""Settings of speech: how sentences are cut and how the voice sounds. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.errors import ConfigError
from omnilive.limits import check_range


@dataclass(frozen=True)
class SentenceConfig:
    """Where an answer is cut into pieces that are spoken one by one (spec §5.6)."""

    first_break_chars: int = 40
    """The first sentence may end at a comma from this many characters on, so that the first
    sound comes sooner; 0 never breaks at a comma."""

    max_chars: int = 400
    """A sentence without an end is cut at the last space before this many characters."""

    def validate(self) -> None:
        """Raise ConfigError naming the first field that cannot be used."""
        check_range("sentences.first_break_chars", self.first_break_chars, 0, 10_000, "characters")
        check_range("sentences.max_chars", self.max_chars, 8, 10_000, "characters")


@dataclass(frozen=True)
class OutletConfig:
    """How an answer's sound leaves for a client that plays it."""

    chunk_ms: int = 40
    """Longest chunk handed to the client, milliseconds."""

    lead_ms: int = 400
    """A chunk leaves at most this long before it is meant to sound, milliseconds: what the
    network may be late without a gap, and what an interrupted client throws away."""

    def validate(self) -> None:
        """Raise ConfigError naming the first field that cannot be used."""
        check_range("outlet.chunk_ms", self.chunk_ms, 10, 1_000, "ms")
        check_range("outlet.lead_ms", self.lead_ms, 0, 10_000, "ms")


@dataclass(frozen=True)
class VoiceConfig:
    """The espeak-ng voice. The ranges are those of espeak-ng's own parameters."""

    rate_wpm: int = 175
    """Speaking rate, words per minute."""

    pitch: int = 50
    """Base pitch, 0 to 100, 50 is normal."""

    volume: int = 100
    """Loudness in percent of normal; above 100 espeak-ng compresses the peaks."""

    english_voice: str = "en-us"
    """espeak-ng voice for English text, ``+variant`` allowed, e.g. ``en-us+f3``."""

    chinese_voice: str = "cmn"
    """espeak-ng voice for Chinese text."""

    def validate(self) -> None:
        """Raise ConfigError naming the first field that cannot be used."""
        check_range("voice.rate_wpm", self.rate_wpm, 80, 450, "words per minute")
        check_range("voice.pitch", self.pitch, 0, 100)
        check_range("voice.volume", self.volume, 0, 200, "percent")
        for name in ("english_voice", "chinese_voice"):
            voice = getattr(self, name)
            if not voice or not voice.isascii() or not voice.isprintable():
                raise ConfigError(
                    f"is {voice!r}", where=f"voice.{name}", mend="Name an espeak-ng voice: en-us"
                )
