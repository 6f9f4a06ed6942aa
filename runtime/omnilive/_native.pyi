"""Types and contracts of the native core (runtime/native/src/*bindings.cpp).

Plain kernels over plain arrays: nothing here knows of engines, models or sessions. Arrays are
taken with the dtype named and never cast (another dtype raises TypeError); any strides will do.
Every call that does work releases the GIL for it, so other Python threads run meanwhile; only
``sample`` keeps it, since handing it over can cost more than the call takes.

``isa`` is the instruction set to use, one of ``instruction_sets()``, by default the best. Results
are the same to the bit by all of them.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

class PcmRing:
    """A bounded ring of PCM addressed by absolute sample index; sample 0 is the first ever pushed.

    Keeps the last ``capacity_samples`` samples. Every member may be used from any thread.

    Raises:
        ValueError: the capacity is less than 1 sample.
    """

    def __init__(self, capacity_samples: int) -> None: ...
    def push(self, samples: npt.NDArray[np.float32]) -> None:
        """Append samples, float32 [n]; the oldest beyond the capacity are overwritten."""

    def read(self, start_index: int, n: int) -> npt.NDArray[np.float32]:
        """Copy out samples [start_index, start_index + n), float32 [n].

        Raises:
            ValueError: one of them is overwritten or not yet written.
        """

    @property
    def written(self) -> int:
        """Samples pushed since the start: the absolute index of the next one."""

    @property
    def oldest(self) -> int:
        """Absolute index of the oldest sample held."""

    def __len__(self) -> int:
        """Samples held."""

def instruction_sets() -> list[str]:
    """Those the kernels can use on this processor, best first; the last is ``portable``."""

def topk_cosine(
    query: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    k: int,
    *,
    threads: int = 1,
    isa: str | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The rows [N, H] most similar to the query [H] by cosine, in float32 arithmetic.

    A row or query of zero norm scores 0. The result is the same to the bit on every processor and
    for any number of ``threads``, the caller's among them, which read 1 MiB of rows each at least.

    Returns:
        Indices int64 [min(k, N)] and scores float32 [min(k, N)], score descending, ties by lower
        index.

    Raises:
        ValueError: widths differ, k is negative, there are no threads, or a value is not finite or
            too large to square.
    """

def sum_words(words: npt.NDArray[np.uint64], *, threads: int = 1, isa: str | None = None) -> int:
    """Sum of contiguous uint64 [n] modulo 2^64, read as ``topk_cosine`` reads its rows.

    The least work that touches every byte: its speed is what the memory gives.

    Raises:
        ValueError: there are no threads.
    """

def resize_rgb(
    rgb: npt.NDArray[np.uint8],
    out_h: int,
    out_w: int,
    *,
    filter: Literal["bicubic", "bilinear"] = "bicubic",
    isa: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Squash or stretch a picture [h, w, 3] to [out_h, out_w, 3], antialiased.

    Cubic convolution (a = -0.5) or a triangle, whose support widens with the reduction: within 2
    of what Pillow's BICUBIC and BILINEAR give for the columns and then for the rows.

    Raises:
        ValueError: a side is not in 1 to 65,536 pixels, the last axis is not 3, or an unknown
            filter.
    """

def resize_nv12(
    luma: npt.NDArray[np.uint8],
    chroma: npt.NDArray[np.uint8],
    out_h: int,
    out_w: int,
    *,
    matrix: Literal["bt601", "bt709"],
    full_range: bool,
    filter: Literal["bicubic", "bilinear"] = "bicubic",
    isa: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Squash or stretch NV12 to RGB [out_h, out_w, 3]: each plane as ``resize_rgb``, then colors.

    Args:
        luma: [h, w].
        chroma: [(h + 1) // 2, (w + 1) // 2, 2], sited left and between rows (H.264, HEVC).
        out_h, out_w: pixels.
        matrix: ITU-R BT.601 or BT.709.
        full_range: whether 0 to 255, or 16 to 235 (chroma 16 to 240), spans black to white.
        filter: as for ``resize_rgb``.
        isa: as for all.

    Raises:
        ValueError: as ``resize_rgb``, or the planes don't fit each other.
    """

def normalized_planes(
    rgb: npt.NDArray[np.uint8],
    mean: Sequence[float],
    deviation: Sequence[float],
    *,
    isa: str | None = None,
) -> npt.NDArray[np.float32]:
    """A picture [h, w, 3] as float32 [3, h, w]: (value / 255 - mean) / deviation per channel.

    Raises:
        ValueError: the last axis is not 3.
    """

def sample(
    logits: npt.NDArray[np.float32],
    history: Sequence[int],
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    repetition_penalty: float,
    seed: int,
    generation: int,
    step: int,
    isa: str | None = None,
) -> int:
    """The next token of contiguous logits [V].

    In this order: the penalty divides positive and multiplies other logits of ``history``, each
    once, in float32; the ``top_k`` best are kept (all for 0), equal ones by lower id; their weights
    are exp((score - best) / temperature) in float64; the least best with ``top_p`` of their mass
    are kept; one draw falls on what is kept. Temperature 0 takes the best.

    The draw is uniform in [0, 1) by Philox4x32-10 under the key ``seed`` and the counter (``step``,
    ``generation``), 64 bits each: the upper 53 bits of its first two words.

    Raises:
        FloatingPointError: a logit is infinite or not a number.
        ValueError: no logits, an id of the history outside them, or a rule out of range.
    """

def quantize_nearest(
    weights: npt.NDArray[np.float32], *, bits: int, block: int, symmetric: bool, threads: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Rows [n, k] to the nearest codes of a grid that holds each block's extremes.

    This and the other two: rows are independent; ``weights`` is C-contiguous; the result is the
    same to the bit on every processor and for every number of threads.

    Args:
        bits: 4 or 8.
        block: weights along a row that share a scale: 32, 64 or 128.
        symmetric: no zero points; the middle code is 0.
        threads: to work with, the caller's included.

    Returns:
        Codes uint8 [n, blocks, block * bits / 8], 4-bit ones in pairs, the first in the low bits;
        scales float32 [n, blocks]; zero points uint8 [n, ceil(blocks * bits / 8)], packed
        likewise, or None. A weight is (code - zero point) * scale.

    Raises:
        ValueError: a weight is not finite, or an option is none of those named.
    """

def quantize_half_quadratic(
    weights: npt.NDArray[np.float32], *, block: int, symmetric: bool, threads: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Rows [n, k] to 4 bits by half-quadratic quantization (Badri and Shaji, "HQQ", 2023).

    Grid and outlying errors (the part of an error beyond the soft threshold of the l_1/2 norm) are
    fitted in turn; of the grids on the way the one of least squared error is taken, so no block
    is worse than round-to-nearest's. Unlike the original, the scale is fitted as well as the zero
    point, which is a whole code. See ``quantize_nearest``.
    """

def quantize_calibrated(
    weights: npt.NDArray[np.float32],
    factors: npt.NDArray[np.float32],
    *,
    block: int,
    symmetric: bool,
    threads: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Rows [n, k] to 4 bits with the least change of their outputs (GPTQ, Frantar et al., 2022).

    Column after column is rounded and its error handed on to the columns after it in its group;
    each block's grid is searched for when its turn comes, errors weighted by what they cost.

    Args:
        factors: float32 [groups, width, width], C-contiguous: upper Cholesky factors of the
            inverse second moments of each ``width`` inputs, ``width`` a multiple of ``block`` up
            to 128.

    The rest is as in ``quantize_nearest``.
    """
