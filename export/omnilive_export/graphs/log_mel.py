"""Whisper's log-mel front end as graph nodes: PCM in, normalized log-mel frames out.

Equal to the reference extractor on the same samples padded with zeros to its full window. It
never needs to pad that far: zeros beyond the last frame a convolution can reach change nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnilive_export.graphs.builder import GraphBuilder
from omnilive_export.reading.row_source import F32
from omnilive_export.specs import LogMelSpec

MEL_FLOOR = 1e-10
"""Smallest mel power, before the logarithm."""

DYNAMIC_RANGE = 8.0
"""Decades kept below the loudest value of the utterance."""

SLANEY_BREAK_HZ = 1000.0
SLANEY_HZ_PER_MEL = 200.0 / 3.0
SLANEY_STEP = np.log(6.4) / 27.0
"""Slaney's mel scale: linear below 1 kHz, logarithmic above (as in librosa, as Whisper uses)."""


def mel_filters(spec: LogMelSpec) -> F32:
    """Triangular filters of equal area, float32 [n_fft / 2 + 1, bins], from 0 Hz to Nyquist."""
    nyquist = spec.sample_rate / 2
    top = _hertz_to_mel(nyquist)
    edges = _mel_to_hertz(np.linspace(0.0, top, spec.bins + 2))
    bins = np.linspace(0.0, nyquist, spec.n_fft // 2 + 1)
    widths = np.diff(edges)
    slopes = edges[None, :] - bins[:, None]
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: F32 = (triangles * (2.0 / (edges[2:] - edges[:-2]))).astype(np.float32)
    return filters


def dft_filters(n_fft: int) -> F32:
    """The windowed DFT as convolution kernels, float32 [2 * (n_fft / 2 + 1), 1, n_fft].

    Periodic Hann window; cosine kernels first, then sine kernels.
    """
    steps = np.arange(n_fft, dtype=np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * steps / n_fft)
    bins = np.arange(n_fft // 2 + 1, dtype=np.float64)
    # The phase is reduced in integers, so that no precision is lost in large products.
    phase = 2 * np.pi * (np.outer(bins, steps) % n_fft) / n_fft
    kernels = np.concatenate([np.cos(phase), -np.sin(phase)]) * window
    shaped: F32 = kernels[:, None, :].astype(np.float32)
    return shaped


def log_mel(b: GraphBuilder, pcm: str, spec: LogMelSpec, *, whole: bool = False) -> tuple[str, str]:
    """Append the front end.

    With L = ceil(N / hop) frames of sound, min(L + 2, max_frames) frames are made: the
    convolutions after it reach that far past the sound, into frames that see only zeros or the
    sound's tail. With ``whole`` all max_frames are made, for an encoder that attends to silence.

    Args:
        b: the graph.
        pcm: float32 [1, N].
        spec: the front end.
        whole: make every frame of the longest input.

    Returns:
        Names of the log-mel [1, bins, frames] and of L, int64 [1].
    """
    samples = b.op("Shape", [pcm], "pcm.samples", start=1, end=2)
    rounded = b.op("Add", [samples, b.ints("hop.less_one", [spec.hop - 1])], "pcm.rounded")
    hop = b.ints("hop", [spec.hop])
    length = b.op("Div", [rounded, hop], "mel.length")
    frames = b.ints("mel.max", [spec.max_frames])
    if not whole:
        reach = b.op("Add", [length, b.ints("conv.reach", [2])], "mel.reach")
        frames = b.op("Min", [reach, frames], "mel.frames")
    needed = b.op("Mul", [frames, hop], "pcm.needed")
    missing = b.op("Sub", [needed, samples], "pcm.missing")
    zero_pads = b.op("Concat", [b.ints("pcm.no_pads", [0, 0, 0]), missing], "pcm.pads", axis=0)
    extended = b.op("Pad", [pcm, zero_pads], "pcm.extended")
    # Frame t is centred on sample t * hop: half a window before, half a window less one hop after.
    half = spec.n_fft // 2
    edges = b.ints("pcm.edges", [0, half, 0, max(0, half - spec.hop)])
    reflected = b.op("Pad", [extended, edges], "pcm.reflected", mode="reflect")
    signal = b.op("Unsqueeze", [reflected, b.ints("channel.axis", [1])], "pcm.signal")
    kernels = b.array("dft.kernels", dft_filters(spec.n_fft))
    spectrum = b.op("Conv", [signal, kernels], "spectrum", strides=[spec.hop])
    squared = b.op("Mul", [spectrum, spectrum], "spectrum.squared")
    bins = spec.n_fft // 2 + 1
    parts = ["power.real", "power.imag"]
    b.op(
        "Split",
        [squared, b.ints("power.split", [bins, bins])],
        "power.parts",
        outputs=parts,
        axis=1,
    )
    power = b.op("Add", parts, "power")
    mel = b.op("MatMul", [b.array("mel.filters", mel_filters(spec).T), power], "mel")
    floored = b.op("Max", [mel, b.scalar("mel.floor", MEL_FLOOR)], "mel.floored")
    natural = b.op("Log", [floored], "mel.ln")
    decades = b.scalar("ln_to_log10", 1.0 / np.log(10.0))
    log10 = b.op("Mul", [natural, decades], "mel.log10")
    loudest = b.op("ReduceMax", [log10], "mel.loudest", keepdims=1)
    bottom = b.op("Sub", [loudest, b.scalar("range", DYNAMIC_RANGE)], "mel.bottom")
    clamped = b.op("Max", [log10, bottom], "mel.clamped")
    lifted = b.op("Add", [clamped, b.scalar("four", 4.0)], "mel.lifted")
    return b.op("Mul", [lifted, b.scalar("quarter", 0.25)], "log_mel"), length


def _hertz_to_mel(hertz: float) -> float:
    if hertz < SLANEY_BREAK_HZ:
        return hertz / SLANEY_HZ_PER_MEL
    break_mel = SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL
    return float(break_mel + np.log(hertz / SLANEY_BREAK_HZ) / SLANEY_STEP)


def _mel_to_hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    break_mel = SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL
    above = SLANEY_BREAK_HZ * np.exp(SLANEY_STEP * (mels - break_mel))
    return np.where(mels < break_mel, mels * SLANEY_HZ_PER_MEL, above)
