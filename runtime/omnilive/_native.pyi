"""Types and contracts of the native core (runtime/native/src/bindings.cpp).

Plain kernels over plain arrays: nothing here knows of engines, models or sessions. Arrays are
taken with the dtype named and never cast (another dtype raises TypeError); any strides will do.
Every call that does work releases the GIL for it, so other Python threads run meanwhile.
"""

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

def topk_cosine(
    query: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    k: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The rows [N, H] most similar to the query [H] by cosine, in float32 arithmetic.

    A row or query of zero norm scores 0. The result is the same to the bit on every processor.

    Returns:
        Indices int64 [min(k, N)] and scores float32 [min(k, N)], score descending, ties by lower
        index.

    Raises:
        ValueError: widths differ, k is negative, or a value is not finite or too large to square.
    """

def resize_rgb(
    rgb: npt.NDArray[np.uint8],
    out_h: int,
    out_w: int,
    *,
    filter: Literal["bicubic"] = "bicubic",
) -> npt.NDArray[np.uint8]:
    """Squash or stretch a picture [h, w, 3] to [out_h, out_w, 3], antialiased.

    Cubic convolution (a = -0.5) whose support widens with the reduction: what Pillow's BICUBIC
    gives for the columns and then for the rows.

    Raises:
        ValueError: a side is not in 1 to 65,536 pixels, the last axis is not 3, or an unknown
            filter.
    """
