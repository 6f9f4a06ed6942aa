"""Cosine and sine tables of rotary positions, as the reference computes them.

Arithmetic only. It never decides how far a table may reach.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnilive.errors import ConfigError
from omnilive_export.specs import Llama3Scaling, RopeSpec

F32 = npt.NDArray[np.float32]


def rope_tables(spec: RopeSpec, *, head_dim: int, positions: int) -> tuple[F32, F32]:
    """cos and sin of position × frequency, float32 [positions, head_dim / 2] each.

    Frequencies and angles are rounded to float32 where the reference rounds them: at position
    24,000 the rounding of an angle is 1e-3 rad, so a more exact table would be another model.

    Raises:
        ConfigError: ``positions`` reach where dynamic NTK scaling changes the frequencies: a table
            holds one set of them.
    """
    if spec.dynamic_from is not None and positions > spec.dynamic_from:
        raise ConfigError(
            f"a context of {positions} positions reaches beyond {spec.dynamic_from}, where "
            "dynamic NTK scaling changes every frequency with the length",
            where="rope_scaling",
            mend=f"Keep the context within {spec.dynamic_from} positions.",
        )
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    powers = np.power(np.float64(spec.theta), exponents.astype(np.float64)).astype(np.float32)
    frequencies = np.float32(1) / powers
    frequencies = frequencies / np.float32(spec.frequency_divisor)
    if spec.llama3 is not None:
        frequencies = _llama3_frequencies(frequencies, spec.llama3)
    steps = np.arange(positions, dtype=np.float32) / np.float32(spec.position_divisor)
    angles = steps[:, None] * frequencies[None, :]
    return np.cos(angles), np.sin(angles)


def _llama3_frequencies(frequencies: F32, scaling: Llama3Scaling) -> F32:
    """Frequencies scaled by their wavelengths, in float32 as the reference library does."""
    wavelengths = np.float32(2 * np.pi) / frequencies
    slow = frequencies / np.float32(scaling.factor)
    turns = np.float32(scaling.original_positions) / wavelengths
    share = (turns - np.float32(scaling.low)) / np.float32(scaling.high - scaling.low)
    share = np.clip(share, 0, 1)
    blended: F32 = ((1 - share) * slow + share * frequencies).astype(np.float32)
    return blended
