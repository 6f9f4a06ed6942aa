"""The real sizes through the planner: every tensor's header is read, no weight is on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from omnilive.errors import ConfigError
from omnilive_export.graphs.rope import rope_tables
from omnilive_export.models.internlm2 import read_internlm2_spec
from omnilive_export.plan import plan_pack
from omnilive_export.planned import PackPlan
from omnilive_export.precision import pack_precision
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.reading.config_file import read_config
from omnilive_micropack import weights
from omnilive_micropack.checkpoint import ADAPTER, FOLDERS, write_checkpoint
from omnilive_micropack.dimensions import FULL
from omnilive_micropack.layout import TensorSpec


def write_holes(path: Path, specs: Sequence[TensorSpec], seed: int, draw: weights.Draw) -> int:
    """``weights.write_safetensors`` with zeros that take no room."""
    header, nbytes = weights.safetensors_header(specs)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + nbytes)
    return nbytes


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full") / "checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "write_safetensors", write_holes)
        patch.setattr("omnilive_micropack.checkpoint._check_space", lambda folder, needed: None)
        write_checkpoint(out, FULL, 0, folders=(*FOLDERS, ADAPTER))
    return out


def planned(checkpoint: Path, stack: ExitStack) -> PackPlan:
    return plan_pack(find_folders(checkpoint), pack_precision("int4", block=128), stack)


def test_a_full_size_checkpoint_has_the_sizes_of_the_real_one(full: Path) -> None:
    sizes = {
        folder: sum(f.stat().st_size for f in (full / folder).glob("*.safetensors"))
        for folder in FOLDERS
    }
    assert {name: round(size / 1e9, 2) for name, size in sizes.items()} == {
        "base": 17.41,
        "memory": 4.18,
        "audio": 4.38,
    }
    assert len(list((full / "base").glob("*.safetensors"))) == 4


def test_a_full_size_checkpoint_plans_with_its_adapter_merged(full: Path) -> None:
    with ExitStack() as stack:
        plan = planned(full, stack)
        assert plan.memory is not None and plan.audio is not None and plan.reasoner is not None
        assert (plan.memory.pixels, plan.memory.grid, plan.memory.hidden) == (336, 12, 1536)
        assert (plan.audio.max_samples, plan.audio.vocab) == (480_000, 156_032)
        assert (plan.reasoner.pixels, plan.reasoner.grid, plan.reasoner.hidden) == (560, 20, 4096)
        assert plan.reasoner.stop_ids == (2, 92_542)
        kv = {e.graph.name: e.graph.kv for e in plan.engines if e.graph.kv is not None}
        bases = {name: info.max_positions for name, info in kv.items()}
        assert bases == {"mem_lm": 32_768, "aud_lm": 8192, "vlm_lm": 24_576}
        assert kv["vlm_lm"].bytes_per_token() == 4 * 64 * 8 * 128
        assert 9e9 < plan.cost < 14e9
        assert plan.nbytes < 9e9
        assert (full / ADAPTER / "adapter_model.safetensors") in plan.sources


def test_a_context_beyond_dynamic_ntk_is_refused_with_its_limit(full: Path) -> None:
    spec = read_internlm2_spec(read_config(full / "base" / "config.json"))
    assert spec.rope.dynamic_from == 24_576
    rope_tables(spec.rope, head_dim=2, positions=24_576)
    with pytest.raises(ConfigError, match=r"24577 positions reaches beyond 24576, where dynamic"):
        rope_tables(spec.rope, head_dim=2, positions=24_577)
