"""Synthesizes the background sounds of the miniature's world, each different at every draw.

Non-speech only, one function per class. It mixes nothing and adds no noise of its own accord:
that is ``audio_data.py``'s affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from omnilive.engine.interface import F32
from omnilive.sources.types import SAMPLE_RATE_HZ

Rng = np.random.Generator


def synthesize(rng: Rng, label: str, seconds: float) -> F32:
    """The sound of a class: float32 [seconds · 16000] with a peak of 1.

    Raises:
        KeyError: no such class.
    """
    count = round(seconds * SAMPLE_RATE_HZ)
    sound = SYNTHESIZERS[label](rng, count)
    peak = float(np.abs(sound).max(initial=0.0))
    return (sound / max(peak, 1e-9)).astype(np.float32)


def coloured_noise(rng: Rng, count: int, slope: float) -> F32:
    """Noise float32 [count] of rms 1 whose power falls with frequency to the power ``slope``."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    shape = np.arange(1, len(spectrum) + 1, dtype=np.float64) ** (-slope / 2)
    shape[: max(1, round(20 * count / SAMPLE_RATE_HZ))] *= 0.1
    noise = np.fft.irfft(spectrum * shape, count)
    return (noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)).astype(np.float32)


def _seconds(count: int) -> F32:
    return (np.arange(count) / SAMPLE_RATE_HZ).astype(np.float32)


def _add(track: F32, piece: F32, at: int) -> None:
    end = min(len(track), at + len(piece))
    if at < end:
        track[at:end] += piece[: end - at]


def _band(rng: Rng, count: int, low_hz: float, high_hz: float) -> F32:
    """White noise [count] between two frequencies."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
    spectrum[(hertz < low_hz) | (hertz > high_hz)] = 0
    return np.fft.irfft(spectrum, count).astype(np.float32)


def _decay(count: int, seconds: float) -> F32:
    return np.exp(-_seconds(count) / seconds).astype(np.float32)


def _bell(rng: Rng, count: int) -> F32:
    """Struck metal: inharmonic partials that ring on, struck again after a while."""
    track = np.zeros(count, np.float32)
    base = rng.uniform(500, 1400)
    ratios = np.array([1.0, 2.0, 2.4, 3.0, 4.5, 5.3]) * rng.uniform(0.99, 1.01, 6)
    every = rng.uniform(0.5, 1.2)
    ring = _seconds(round(2.0 * SAMPLE_RATE_HZ))
    strike = np.zeros_like(ring)
    for i, ratio in enumerate(ratios):
        fade = np.exp(-ring * (i + 1) / rng.uniform(0.5, 1.0))
        strike += fade * np.sin(2 * np.pi * base * ratio * ring) / (i + 1)
    at = -rng.uniform(0, every)
    while at * SAMPLE_RATE_HZ < count:
        if at >= 0:
            _add(track, strike, round(at * SAMPLE_RATE_HZ))
        else:
            _add(track, strike[round(-at * SAMPLE_RATE_HZ) :], 0)
        at += every * rng.uniform(0.95, 1.05)
    return track


def _knock(rng: Rng, count: int) -> F32:
    """Dull blows on wood, in groups of a few with a pause after each group."""
    track = np.zeros(count, np.float32)
    pitch = rng.uniform(120, 320)
    gap = rng.uniform(0.14, 0.26)
    at = rng.uniform(0.0, 0.2)
    while at * SAMPLE_RATE_HZ < count:
        for _ in range(int(rng.integers(2, 5))):
            length = round(0.12 * SAMPLE_RATE_HZ)
            t = _seconds(length)
            blow = np.sin(2 * np.pi * pitch * rng.uniform(0.95, 1.05) * t) * _decay(length, 0.02)
            blow += 0.5 * _band(rng, length, 80, 2500) * _decay(length, 0.006)
            _add(track, blow * rng.uniform(0.7, 1.0), round(at * SAMPLE_RATE_HZ))
            at += gap * rng.uniform(0.9, 1.1)
        at += rng.uniform(0.4, 0.8)
    return track


def _applause(rng: Rng, count: int) -> F32:
    """Many hands: each clap a short burst of mid-band noise, at times of its own."""
    track = np.zeros(count, np.float32)
    length = round(0.03 * SAMPLE_RATE_HZ)
    fade = _decay(length, 0.006)
    claps = [
        _band(rng, length, rng.uniform(500, 900), rng.uniform(2200, 4500)) * fade for _ in range(12)
    ]
    for _ in range(round(rng.uniform(50, 110) * count / SAMPLE_RATE_HZ)):
        clap = claps[int(rng.integers(len(claps)))]
        _add(track, clap * rng.uniform(0.3, 1.0), int(rng.integers(0, count)))
    return track


def _rain(rng: Rng, count: int) -> F32:
    """A bright hiss with countless small drops on it."""
    track = _band(rng, count, rng.uniform(1500, 2500), 8000)
    track /= max(float(np.sqrt(np.mean(track**2))), 1e-9)
    length = round(0.006 * SAMPLE_RATE_HZ)
    t, fade = _seconds(length), _decay(length, 0.0015)
    drops = [np.sin(2 * np.pi * rng.uniform(2500, 6500) * t) * fade for _ in range(10)]
    for at in rng.integers(0, count, round(rng.uniform(120, 300) * count / SAMPLE_RATE_HZ)):
        drop = drops[int(rng.integers(len(drops)))]
        _add(track, (drop * rng.uniform(1, 6)).astype(np.float32), int(at))
    return track


def _siren(rng: Rng, count: int) -> F32:
    """A loud tone that rises and falls."""
    t = _seconds(count)
    middle, swing = rng.uniform(700, 1000), rng.uniform(200, 400)
    period = rng.uniform(0.8, 2.5)
    phase = 2 * np.pi * (t / period + rng.random())
    hertz = middle + swing * np.sin(phase)
    turns = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE_HZ
    return np.asarray(np.sin(turns) + 0.4 * np.sin(2 * turns) + 0.2 * np.sin(3 * turns), np.float32)


def _bark(rng: Rng, count: int) -> F32:
    """A dog: short rough bursts whose pitch falls."""
    track = np.zeros(count, np.float32)
    pitch = rng.uniform(300, 650)
    at = rng.uniform(0.0, 0.2)
    while at * SAMPLE_RATE_HZ < count:
        length = round(rng.uniform(0.12, 0.22) * SAMPLE_RATE_HZ)
        t = _seconds(length)
        part = t / t[-1]
        turns = 2 * np.pi * np.cumsum(pitch * (1.25 - 0.6 * part)) / SAMPLE_RATE_HZ
        voice = sum(np.sin(k * turns) / k**0.7 for k in range(1, 7))
        burst = (voice + 1.2 * _band(rng, length, 400, 3000)) * np.sqrt(
            np.abs(np.sin(np.pi * part))
        )
        _add(track, (burst * rng.uniform(0.7, 1.0)).astype(np.float32), round(at * SAMPLE_RATE_HZ))
        at += rng.uniform(0.3, 0.7)
    return track


def _engine(rng: Rng, count: int) -> F32:
    """A motor: low harmonics that shiver, and a rumble beneath them."""
    t = _seconds(count)
    base = rng.uniform(35, 75)
    wander = np.cumsum(rng.standard_normal(count)).astype(np.float32)
    wander /= max(float(np.abs(wander).max()), 1e-9)
    drift = base * (1 + 0.08 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * t + rng.uniform(0, 6)))
    turns = 2 * np.pi * np.cumsum(drift + 0.04 * base * wander) / SAMPLE_RATE_HZ
    tone = sum(np.sin(k * turns + rng.uniform(0, 6)) / k**0.6 for k in range(1, 12))
    return np.asarray(tone + 1.5 * _band(rng, count, 20, 300) * 5, np.float32)


def _alarm(rng: Rng, count: int) -> F32:
    """An electronic beeper: one high tone, or two in turn, on and off at a steady pace."""
    t = _seconds(count)
    high = rng.uniform(1800, 3200)
    other = high if rng.random() < 0.5 else high * rng.uniform(0.7, 0.85)
    beat = (t / rng.uniform(0.16, 0.4) + rng.random()) % 2
    hertz = np.where(beat < 1, high, other)
    turns = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE_HZ
    gate = np.ones(count) if other != high else (beat < 1).astype(np.float64)
    return np.asarray((np.sin(turns) + 0.3 * np.sin(3 * turns)) * gate, np.float32)


SYNTHESIZERS: Mapping[str, Callable[[Rng, int], F32]] = {
    "Bell": _bell,
    "Knock": _knock,
    "Applause": _applause,
    "Rain": _rain,
    "Siren": _siren,
    "Bark": _bark,
    "Engine": _engine,
    "Alarm": _alarm,
}
