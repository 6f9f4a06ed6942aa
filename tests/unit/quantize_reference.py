"""The block quantizers in NumPy, straight from their definitions, in float32.

Sums run over the columns of a block in order, as in the native core, so both give the same bits.
"""

from __future__ import annotations

import numpy as np

from omnilive_export.quantize import F32, U8, BlockFormat, QuantizedRows

ONE = np.float32(1)

HQQ_BETA = np.float32(5)
HQQ_KAPPA = np.float32(1.01)
HQQ_ITERATIONS = 12
HQQ_STARTS = (1.0, 0.85)

FACTORS = (1.05, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65)
SHIFTS = (0, -1, 1)
REFITS = 2


def nearest(weight: F32, fmt: BlockFormat) -> QuantizedRows:
    """Round-to-nearest, all blocks at once."""
    n = len(weight)
    blocked = _padded(weight, fmt.block).reshape(n, -1, fmt.block)
    scales, zeros = _nearest_choice(blocked, fmt)
    offset = np.float32(fmt.middle) if zeros is None else zeros[..., None]
    codes = np.rint(blocked * _reciprocal(scales)[..., None]) + offset
    return _rows(codes.clip(0, fmt.levels - 1), scales, zeros, fmt)


def half_quadratic(weight: F32, fmt: BlockFormat) -> QuantizedRows:
    """The best grid that the alternation passes, block by block."""
    values = _padded(weight, fmt.block)
    found = []
    for first in range(0, values.shape[1], fmt.block):
        block = values[:, first : first + fmt.block]
        start = _start(block, fmt)
        best = (*start, np.full(len(block), np.inf, np.float32))
        for factor in HQQ_STARTS:
            best = _alternated(block, fmt, start[0] * np.float32(factor), start[1], best)
        scale, zero, _ = best
        found.append((_steps(block, fmt, scale, zero)[1] + zero[:, None], scale, zero))
    return _joined(found, fmt)


def calibrated(weight: F32, factors: F32, fmt: BlockFormat) -> QuantizedRows:
    """GPTQ within groups, the grid of each block searched for when its turn comes."""
    width = factors.shape[1]
    n, k = weight.shape
    values = _padded(weight, width)
    found = []
    for first in range(0, fmt.blocks(k) * fmt.block, fmt.block):
        group = first // width
        begin, factor = first - group * width, factors[group]
        columns = values[:, group * width : (group + 1) * width]
        own = np.diagonal(factor)
        weights = (ONE / (own * own))[begin : begin + fmt.block]
        scale, zero = _searched(columns[:, begin : begin + fmt.block].copy(), weights, fmt)
        codes = np.empty((n, fmt.block), np.float32)
        for j in range(fmt.block):
            at = begin + j
            code = _steps(columns[:, at : at + 1], fmt, scale, zero)[1][:, 0]
            error = (columns[:, at] - code * scale) / factor[at, at]
            columns[:, at + 1 :] -= error[:, None] * factor[at, at + 1 :]
            codes[:, j] = code + zero
        found.append((codes, scale, zero))
    return _joined(found, fmt)


def pack(codes: U8, bits: int) -> U8:
    """Codes of 4 bits in pairs, low nibble first."""
    return codes if bits == 8 else codes[..., 0::2] | (codes[..., 1::2] << np.uint8(4))


def _alternated(block, fmt, scale, zero, best):
    beta, count = HQQ_BETA, np.float32(fmt.block)
    for _ in range(HQQ_ITERATIONS):
        value, q = _steps(block, fmt, scale, zero)
        error = value - q
        size = np.abs(error)
        with np.errstate(divide="ignore"):
            left = np.maximum(size - ONE / (beta * np.sqrt(size)), np.float32(0))
        t = value - np.copysign(left, error)
        best = _better(best, scale, zero, _sum(error * error) * (scale * scale))
        sum_q, qq, sum_t, tq = _sum(q), _sum(q * q), _sum(t), _sum(t * q)
        shift = np.zeros_like(scale)
        if not fmt.symmetric:
            spread = count * qq - sum_q * sum_q
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                slope = (count * tq - sum_q * sum_t) / spread
                offset = (sum_t - slope * sum_q) / count
                step = np.where((spread > 0) & (slope > 0), offset / slope, np.float32(0))
            moved = np.rint((zero - step).clip(0, fmt.levels - 1)).astype(np.float32)
            shift, zero = moved - zero, moved
        tq = tq - shift * sum_t
        qq = qq + shift * (shift * count - np.float32(2) * sum_q)
        usable = (tq > 0) & (qq > 0)
        scale = scale * np.where(usable, np.divide(tq, qq, where=usable, out=np.ones_like(tq)), ONE)
        beta = beta * HQQ_KAPPA
    return best


def _searched(block, weights, fmt):
    start_scale, start_zero = _start(block, fmt)
    best = (start_scale, start_zero, np.full(len(block), np.inf, np.float32))

    def consider(best, scale, zero):
        error = block - _steps(block, fmt, scale, zero)[1] * scale[:, None]
        return _better(best, scale, zero, _sum(weights * (error * error)))

    for factor in FACTORS:
        scale = start_scale * np.float32(factor)
        if fmt.symmetric:
            best = consider(best, scale, start_zero)
            best = consider(best, start_scale * np.float32(-factor), start_zero)
        else:
            for shift in SHIFTS:
                zero = (start_zero + np.float32(shift)).clip(0, fmt.levels - 1)
                best = consider(best, scale, zero)
    for _ in range(REFITS):
        scale, zero, _ = best
        code = _steps(block, fmt, scale, zero)[1]
        square = _sum(weights * (code * code))
        product = _sum(weights * (block * code))
        fitted = np.divide(product, square, where=square > 0, out=scale.copy())
        best = consider(best, fitted, zero)
    return best[0], best[1]


def _better(best, scale, zero, cost):
    less = cost < best[2]
    new = (scale, zero, cost)
    return tuple(np.where(less, a, b).astype(np.float32) for a, b in zip(new, best, strict=True))


def _start(block: F32, fmt: BlockFormat):
    scale, zero = _nearest_choice(block, fmt)
    return scale, np.full_like(scale, fmt.middle) if zero is None else zero


def _nearest_choice(blocks: F32, fmt: BlockFormat):
    top, bottom = blocks.max(axis=-1), blocks.min(axis=-1)
    if fmt.symmetric:
        return np.where(top > -bottom, top, bottom) / np.float32(-fmt.middle), None
    top, bottom = np.maximum(top, np.float32(0)), np.minimum(bottom, np.float32(0))
    scales = (top - bottom) / np.float32(fmt.levels - 1)
    return scales, np.rint(-bottom * _reciprocal(scales)).clip(0, fmt.levels - 1)


def _steps(block: F32, fmt: BlockFormat, scale: F32, zero: F32):
    """Values in steps of the grid, and their codes around the zero point."""
    value = block * _reciprocal(scale)[:, None]
    last = np.float32(fmt.levels - 1)
    code = np.rint(np.minimum(np.maximum(value, -zero[:, None]), (last - zero)[:, None]))
    return value, code


def _sum(values: F32) -> F32:
    total = np.zeros(len(values), np.float32)
    for column in values.T:
        total += column
    return total


def _reciprocal(scales: F32) -> F32:
    usable = np.abs(scales) >= np.finfo(np.float32).tiny
    return np.divide(ONE, scales, out=np.zeros_like(scales), where=usable)


def _padded(weight: F32, multiple: int) -> F32:
    n, k = weight.shape
    padded = np.zeros((n, -(-k // multiple) * multiple), np.float32)
    padded[:, :k] = weight
    return padded


def _joined(found, fmt: BlockFormat) -> QuantizedRows:
    codes, scales, zeros = (np.stack(parts, axis=1) for parts in zip(*found, strict=True))
    return _rows(codes, scales, None if fmt.symmetric else zeros, fmt)


def _rows(codes: F32, scales: F32, zeros: F32 | None, fmt: BlockFormat) -> QuantizedRows:
    packed = pack(codes.astype(np.uint8), fmt.bits)
    if zeros is None:
        return QuantizedRows(packed, scales, None)
    odd = fmt.bits == 4 and zeros.shape[1] % 2
    zeros = np.pad(zeros, ((0, 0), (0, int(odd))))
    return QuantizedRows(packed, scales, pack(zeros.astype(np.uint8), fmt.bits))
