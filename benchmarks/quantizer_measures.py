"""The measures of the quantizers' benchmark, its bars and its table. It runs no engine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from omnilive.engine.interface import F32
from omnilive.engine.pack import read_manifest
from omnilive_export.accuracy.divergence import kl_divergence, top1_agreement
from omnilive_export.precision import CALIBRATED, INT4, LinearFormat
from omnilive_export.quantize import dequantize_rows
from omnilive_export.quantizing.methods import block_format, quantize_with
from omnilive_export.quantizing.moments import GROUP, Calibration
from omnilive_export.threads import usable_cores
from scoring.result import Item
from scoring.statistics import paired

SPEED_SHAPE = (4096, 14336)
"""The largest matrix of InternLM2-7B: its ``down`` projection."""

SPEED_ROWS = 512
"""Rows timed at once; about what the exporter hands over at a time."""

SEVEN_B_WEIGHTS = 32 * 4096 * (4096 + 2 * 1024 + 4096 + 3 * 14336)
"""Weights in the decoder blocks of InternLM2-7B: qkv, attention_out, gate, up and down."""

LEAST_SPEED = 3e6
"""Weights/s over two cores: 7 billion in 40 minutes."""


@dataclass(frozen=True)
class Variant:
    """A way to quantize blocks."""

    method: str
    block: int
    symmetric: bool

    def __str__(self) -> str:
        return f"{self.method} {self.block} {'symmetric' if self.symmetric else 'asymmetric'}"

    def format(self) -> LinearFormat:
        """As the exporter takes it."""
        return LinearFormat(INT4, self.block, self.symmetric, self.method)

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def compared(expected: F32, actual: F32, are_logits: bool) -> dict[str, Any]:
    """How far output rows are from those of the fp32 engine.

    ``output_error`` is the root mean square error relative to the rows' own; ``kl`` and ``top1``
    are None for rows that are no logits.
    """
    difference = np.mean(np.square(actual - expected, dtype=np.float64))
    relative = float(np.sqrt(difference / np.mean(np.square(expected, dtype=np.float64))))
    return {
        "rows": len(expected),
        "output_error": relative,
        "kl": kl_divergence(expected, actual) if are_logits else None,
        "top1": top1_agreement(expected, actual) if are_logits else None,
    }


def distances(expected: F32, actual: F32, are_logits: bool) -> list[Item]:
    """How far each row is from fp32's: by KL, or for rows that are no logits by squared error."""
    pairs = zip(expected, actual, strict=True)
    if are_logits:
        return [
            Item(str(i), kl_divergence(row[None], other[None]))
            for i, (row, other) in enumerate(pairs)
        ]
    return [
        Item(str(i), float(np.sum((other - row) ** 2)), float(np.sum(row**2)))
        for i, (row, other) in enumerate(pairs)
    ]


def against(nearest: Sequence[Item], other: Sequence[Item]) -> dict[str, float]:
    """How much farther ``other`` is than round-to-nearest, with a 95 % bootstrap interval."""
    found = paired(other, nearest)
    if found is None:
        raise ValueError("there are no rows to compare")
    return {"value": found.value, "low": found.low, "high": found.high}


def read_weights(pack: Path, calibration: Calibration) -> dict[str, F32]:
    """Float weights [out, in] of an fp32 pack that there are statistics of, by ENGINE/WEIGHT."""
    found = {}
    for engine in sorted({name.partition("/")[0] for name in calibration.weights}):
        path = pack / read_manifest(pack).engines[engine].model
        for tensor in onnx.load(path).graph.initializer:
            name = f"{engine}/{tensor.name}"
            if name in calibration.weights:
                found[name] = np.ascontiguousarray(numpy_helper.to_array(tensor).T)
    return found


def weight_errors(
    weights: Mapping[str, F32], variant: Variant, calibration: Calibration
) -> dict[str, dict[str, float]]:
    """Engine → root mean square error over its weights, relative to each weight's own size.

    ``weight_error`` counts every weight alike, ``weighted_error`` by its inputs' second moments:
    the relative error of the linears' outputs.
    """
    fmt = variant.format()
    squares: dict[str, list[tuple[float, float]]] = {}
    for name, weight in weights.items():
        factors = calibration.factors(name) if variant.method == CALIBRATED else None
        rows = quantize_with(weight, fmt, factors)
        change = dequantize_rows(rows, block_format(fmt), weight.shape[1]) - weight
        moments = calibration.moments(name)
        plain = float(np.sum(change**2) / np.sum(weight**2))
        weighted = _energy(change, moments) / _energy(weight, moments)
        squares.setdefault(name.partition("/")[0], []).append((plain, weighted))
    means = {engine: np.sqrt(np.mean(found, axis=0)) for engine, found in squares.items()}
    return {
        engine: {"weight_error": float(plain), "weighted_error": float(weighted)}
        for engine, (plain, weighted) in means.items()
    }


def _energy(weight: F32, moments: F32) -> float:
    """Mean square of weight · x summed over outputs, x of these second moments in groups."""
    groups = len(moments)
    padded = np.zeros((len(weight), groups * GROUP), np.float32)
    padded[:, : weight.shape[1]] = weight
    parts = padded.reshape(len(weight), groups, GROUP).transpose(1, 0, 2)
    return float(np.sum((parts @ moments) * parts, dtype=np.float64))


def quantizer_speed(method: str, block: int) -> dict[str, Any]:
    """Weights/s of a method over all usable cores, on a matrix of SPEED_SHAPE."""
    n, k = SPEED_SHAPE
    fmt = LinearFormat(INT4, block, True, method)
    factors = np.broadcast_to(np.eye(GROUP, dtype=np.float32), (k // GROUP, GROUP, GROUP)).copy()
    rng = np.random.default_rng(0)
    spent = 0.0
    for _ in range(n // SPEED_ROWS):
        rows = rng.standard_normal((SPEED_ROWS, k), dtype=np.float32)
        begun = time.perf_counter()
        quantize_with(rows, fmt, factors)
        spent += time.perf_counter() - begun
    speed = n * k / spent
    return {
        "method": method,
        "block": block,
        "cores": usable_cores(),
        "weights_per_s": speed,
        "extrapolated_7b_s": SEVEN_B_WEIGHTS / speed,
    }


def misses(found: Mapping[str, Any]) -> list[str]:
    """What misses its bar.

    For each engine, block size and symmetry one of the methods other than round-to-nearest must
    not be farther from fp32 than that by more than chance: few rows are uncertain ones, and one of
    them can weigh more than all the others. Every method must do LEAST_SPEED.
    """
    missed = []
    groups: dict[tuple[str, int, bool], list[Mapping[str, float]]] = {}
    for row in found["rows"]:
        if row["against_rtn"] is not None:
            key = (row["engine"], row["block"], row["symmetric"])
            groups.setdefault(key, []).append(row["against_rtn"])
    for (engine, block, symmetric), others in groups.items():
        if all(other["low"] > 0 for other in others):
            kind = "symmetric" if symmetric else "asymmetric"
            best = min(others, key=lambda other: other["value"])
            missed.append(
                f"{engine}, {kind} blocks of {block}: farther from fp32 than rtn by at least "
                f"{best['value']:.2g} ({best['low']:.2g} to {best['high']:.2g})"
            )
    for speed in found["speed"]:
        if speed["weights_per_s"] < LEAST_SPEED:
            missed.append(
                f"{speed['method']}, blocks of {speed['block']}: "
                f"{speed['weights_per_s'] / 1e6:.1f} million weights/s"
            )
    return missed


def shown(found: Mapping[str, Any]) -> str:
    """The figures as a table."""
    lines = [
        f"{'engine':<8}{'block':>6} {'symmetry':<11}{'method':<11}{'weights':>9}{'weighted':>10}"
        f"{'outputs':>9}{'KL':>10}{'top-1':>8}{'rows':>8}  less rtn (95 %)"
    ]
    order: Sequence[Mapping[str, Any]] = sorted(
        found["rows"], key=lambda row: (row["engine"], row["block"], not row["symmetric"])
    )
    for row in order:
        kl = "–" if row["kl"] is None else f"{row['kl']:.2e}"
        top1 = "–" if row["top1"] is None else f"{row['top1']:.2%}"
        less = row["against_rtn"]
        gap = (
            ""
            if less is None
            else f"  {less['value']:+.1e} ({less['low']:+.1e}, {less['high']:+.1e})"
        )
        lines.append(
            f"{row['engine']:<8}{row['block']:>6} "
            f"{'symmetric' if row['symmetric'] else 'asymmetric':<11}{row['method']:<11}"
            f"{row['weight_error']:>9.4f}{row['weighted_error']:>10.4f}"
            f"{row['output_error']:>9.4f}{kl:>10}{top1:>8}{row['rows']:>8}{gap}"
        )
    for speed in found["speed"]:
        lines.append(
            f"{speed['method']}, blocks of {speed['block']}: "
            f"{speed['weights_per_s'] / 1e6:.0f} million weights/s on {speed['cores']} cores; "
            f"extrapolated to the blocks of a 7B: {speed['extrapolated_7b_s'] / 60:.1f} minutes"
        )
    lines.append(f"load of the machine before: {found['load_before']:.1f}")
    return "\n".join(lines)
