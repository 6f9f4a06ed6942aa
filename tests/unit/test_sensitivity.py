"""Which layers a sensitivity measurement says to keep, and which layers it measures."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from export_checkpoints import micro_checkpoint, plan
from omnilive_export.graphs.layer_formats import LayerFormats
from omnilive_export.precision import FP32, INT8_DYNAMIC, LinearFormat
from omnilive_export.recipe_file import parse_recipe
from omnilive_export.sensitivity import (
    ENCODERS,
    KEPT_SHARE,
    Sensitivity,
    as_text,
    linears,
    worth_keeping,
)

RECIPE = """
backend = "ort"
decoder = { kind = "int4" }
head = { kind = "int8" }
plora = { kind = "int8" }
encoder = { kind = "int8-dynamic" }
"""


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30))
def test_the_fewest_layers_that_cause_half_of_the_error_are_kept(errors: list[float]) -> None:
    total = sum(e * e for e in errors)
    ranked = [
        Sensitivity(f"mem_vit.layers.{i}.fc1", e, e * e / total)
        for i, e in enumerate(sorted(errors, reverse=True))
    ]
    kept = worth_keeping(ranked)
    assert sum(s.share for s in kept) >= KEPT_SHARE - 1e-9
    assert sum(s.share for s in kept[:-1]) < KEPT_SHARE
    assert kept == ranked[: len(kept)]


def test_every_layer_that_is_measured_is_one_a_recipe_can_name() -> None:
    with ExitStack() as stack:
        graphs = {e.graph.name: e.graph for e in plan(micro_checkpoint(), stack).engines}
        for engine in ENCODERS:
            layers = list(linears(graphs[engine]))
            assert layers
            formats = LayerFormats([(f"{engine}.{layer}", _PLAIN) for layer in layers])
            for tensor in graphs[engine].tensors:
                formats.of(engine, tensor.name, _ROUNDED)
            assert not formats.unused()


def test_what_it_prints_is_the_keep_section_of_a_recipe() -> None:
    found = {"mem_vit": [Sensitivity("mem_vit.layers.0.fc2", 0.01, 1.0)]}
    printed = as_text(found)
    recipe = parse_recipe(RECIPE + printed[printed.index("[keep]") :], "m", where="m")
    assert recipe.keep == {"mem_vit.layers.0.fc2": FP32}


_PLAIN = LinearFormat(FP32, 32)
_ROUNDED = LinearFormat(INT8_DYNAMIC, 32)
