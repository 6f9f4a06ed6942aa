"""Quantizes rows of int4 blocks with the method of their format. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from omnilive._native import quantize_calibrated, quantize_half_quadratic
from omnilive_export.precision import CALIBRATED, HQQ, LinearFormat
from omnilive_export.quantize import F32, BlockFormat, QuantizedRows, quantize_rows
from omnilive_export.threads import usable_cores


def block_format(fmt: LinearFormat) -> BlockFormat:
    """The packing of a quantized format."""
    return BlockFormat(fmt.bits, fmt.block, fmt.symmetric)


def quantize_with(rows: F32, fmt: LinearFormat, factors: F32 | None) -> QuantizedRows:
    """Rows [n, k] in ``fmt``; rows are independent of each other.

    Args:
        rows: float32 [n, k].
        fmt: int4 or int8.
        factors: of the inputs (``Calibration.factors``), for the calibrated method.

    Raises:
        ValueError: a weight is not finite, or factors are missing or of another width.
    """
    rows = np.ascontiguousarray(rows)
    threads = usable_cores()
    if fmt.method == HQQ:
        found = quantize_half_quadratic(
            rows, block=fmt.block, symmetric=fmt.symmetric, threads=threads
        )
        return QuantizedRows(*found)
    if fmt.method == CALIBRATED:
        if factors is None:
            raise ValueError("the calibrated method needs statistics of the inputs")
        found = quantize_calibrated(
            rows, factors, block=fmt.block, symmetric=fmt.symmetric, threads=threads
        )
        return QuantizedRows(*found)
    return quantize_rows(rows, block_format(fmt))
