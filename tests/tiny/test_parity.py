"""Every engine of a random miniature pack against the PyTorch reference, at each precision."""

from __future__ import annotations

from typing import Any

import pytest

from omnilive.engine.manifest import ENGINE_NAMES
from omnilive_export.verify.measure import FP32_RELATIVE_ERROR, LEAST_COSINE

pytestmark = pytest.mark.tiny

Records = dict[str, dict[str, Any]]


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_fp32_engine_equals_its_source(fp32_records: Records, engine: str) -> None:
    record = fp32_records[engine]
    assert record["tolerance"] == {"relative_error": FP32_RELATIVE_ERROR}
    assert record["relative_error"] <= FP32_RELATIVE_ERROR, record
    assert record["passed"]


@pytest.mark.parametrize("engine", ["aud_lm", "vlm_lm"])
def test_fp32_engine_chooses_the_same_tokens(fp32_records: Records, engine: str) -> None:
    assert fp32_records[engine]["top1"] == 1.0


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_quantized_engine_keeps_the_direction_of_its_source(
    quantized_records: dict[str, Records], precision: str, engine: str
) -> None:
    record = quantized_records[precision][engine]
    assert record["passed"], record
    # Quantization is really there: the engine is no float32 engine under another name.
    assert record["relative_error"] > FP32_RELATIVE_ERROR
    kind = "int4" if precision == "int4" and engine.endswith("_lm") else "int8"
    assert record["tolerance"] == {"cosine": LEAST_COSINE[kind]}
