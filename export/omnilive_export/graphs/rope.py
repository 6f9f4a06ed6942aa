"""Cosine and sine tables of rotary positions, as the reference computes them.

Arithmetic only. It never decides how far a table may reach.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnilive_export.specs import RopeSpec

F32 = npt.NDArray[np.float32]


def rope_tables(spec: RopeSpec, *, head_dim: int, positions: int) -> tuple[F32, F32]:
    """cos and sin of position × frequency, float32 [positions, head_dim / 2] each.

    Frequencies and angles are rounded to float32 where the reference rounds them: at position
    24,000 the rounding of an angle is 1e-3 rad, so a more exact table would be another model.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    powers = np.power(np.float64(spec.theta), exponents.astype(np.float64)).astype(np.float32)
    frequencies = np.float32(1) / powers
    steps = np.arange(positions, dtype=np.float32) / np.float32(spec.position_divisor)
    angles = steps[:, None] * frequencies[None, :]
    return np.cos(angles), np.sin(angles)
