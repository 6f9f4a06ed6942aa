"""The TensorRT backend on a fake device that runs the engines' graphs on the CPU."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import TensorInfo
from omnilive.errors import EngineError, PackError
from omnilive_export.tensorrt.engine_builder import BuildTask, build_engine
from omnilive_export.tensorrt.options import BuildOptions
from omnilive_export.tensorrt.profiles import encoder_profiles
from tensorrt_bindings import RECORDINGS
from tensorrt_fake_cuda import FakeCuda
from tensorrt_machine import (
    BACKEND,
    VERSIONS,
    Machine,
    Plans,
    close,
    embeddings,
    machine_of,
    make_plans,
    whole,
)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    return make_plans(tmp_path_factory.mktemp("plans"))


@pytest.fixture(params=VERSIONS)
def machine(
    request: pytest.FixtureRequest,
    plans: Plans,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machine]:
    yield from machine_of(request.param, plans, monkeypatch)


@pytest.fixture
def one_machine(plans: Plans, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from machine_of(VERSIONS[0], plans, monkeypatch)


@pytest.mark.parametrize(
    ("engine", "shape"), [("mem_to_vlm", (7, 256)), ("mem_proj", (3, 16, 512))]
)
def test_a_stateless_engine_gives_what_its_graph_gives(
    machine: Machine, engine: str, shape: tuple[int, ...]
) -> None:
    loaded = machine.engine(engine)
    name = machine.records[engine].inputs[0].name
    taken = []
    for count in (1, shape[0], 2, shape[0]):
        values = embeddings(int(np.prod(shape[1:])), count).reshape(count, *shape[1:])
        found = loaded.run({name: values})
        expected = machine.session(engine).run(None, {name: values})
        assert list(found) == [t.name for t in machine.records[engine].outputs]
        np.testing.assert_array_equal(next(iter(found.values())), expected[0])
        del found
        taken.append(machine.device.cuda.allocations)
    # Memory grows to the largest input and is kept.
    assert taken[0] < taken[1] == taken[2] == taken[3]


def test_a_prompt_in_any_blocks_gives_what_one_run_gives(machine: Machine) -> None:
    x = embeddings(256, 9)
    expected = whole(machine, "mem_lm", x)
    decoder = machine.decoder("mem_lm")
    arena = decoder.new_arena(300)
    parts = [decoder.hidden(arena, x[a:b]) for a, b in ((0, 4), (4, 5), (5, 6), (6, 8), (8, 9))]
    assert arena.length == 9
    assert close(np.concatenate(parts), expected)


def test_logits_come_for_the_asked_rows_with_partial_lora_on_its_rows(machine: Machine) -> None:
    x = embeddings(256, 6)
    expected = whole(machine, "vlm_lm", x, logit_rows=[0, 4, 5], plora_rows=[1, 2])
    decoder = machine.decoder("vlm_lm")
    arena = decoder.new_arena(20)
    none = decoder.logits(arena, x[:4], rows=np.array([], int), plora_rows=np.array([1, 2]))
    assert none.shape == (0, expected.shape[1])
    arena.truncate(0)
    first = decoder.logits(arena, x[:4], rows=np.array([0]), plora_rows=np.array([1, 2]))
    rest = decoder.logits(arena, x[4:], rows=np.array([0, 1]))
    assert close(np.concatenate([first, rest]), expected)


def test_a_decode_step_is_captured_once_per_arena_and_then_launched(machine: Machine) -> None:
    decoder, cuda = machine.decoder("vlm_lm"), machine.device.cuda
    x = embeddings(256, 8)
    arenas = [decoder.new_arena(30), decoder.new_arena(30)]
    for arena in arenas:
        decoder.logits(arena, x[:3])
    taken, waits = cuda.allocations, cuda.synchronizations
    found: list[list[np.ndarray]] = [[], []]
    for token in x[3:]:
        for one, arena in zip(found, arenas, strict=True):
            one.append(decoder.logits(arena, token[None]))
    steps = 2 * len(x[3:])
    assert cuda.launches == steps - len(arenas)
    assert cuda.allocations == taken
    # The host waits where a token is read, and nowhere else.
    assert cuda.synchronizations == waits + steps
    expected = whole(machine, "vlm_lm", x, logit_rows=[3, 4, 5, 6, 7], plora_rows=[])
    for one in found:
        assert close(np.concatenate(one), expected)


def test_a_truncated_arena_continues_as_a_fresh_one(one_machine: Machine) -> None:
    decoder = one_machine.decoder("mem_lm")
    x = embeddings(256, 8)
    arena = decoder.new_arena(300)
    decoder.hidden(arena, x[:6])
    decoder.hidden(arena, x[6:7])
    arena.truncate(3)
    again = np.concatenate([decoder.hidden(arena, x[3:7]), decoder.hidden(arena, x[7:])])
    assert close(again, whole(one_machine, "mem_lm", x)[3:])


def test_a_prompt_longer_than_a_block_and_more_logits_than_fit_are_cut(
    one_machine: Machine,
) -> None:
    decoder = one_machine.decoder("vlm_lm")
    x = embeddings(256, 70)
    rows = np.arange(70)
    found = decoder.logits(decoder.new_arena(300), x, rows=rows, plora_rows=np.array([66, 2]))
    expected = whole(one_machine, "vlm_lm", x, logit_rows=list(rows), plora_rows=[66, 2])
    assert close(found, expected)


def test_device_memory_comes_back_with_the_decoder_and_its_arenas(one_machine: Machine) -> None:
    decoder = one_machine.decoder("mem_lm")
    cuda = one_machine.device.cuda
    left = []
    for _ in range(3):
        arena = decoder.new_arena(300)
        decoder.hidden(arena, embeddings(256, 1))
        decoder.hidden(arena, embeddings(256, 2))
        held = len(cuda.memory)
        del arena
        gc.collect()
        left.append(set(cuda.memory))
        assert len(left[-1]) < held
    # What is left is the decoder's, memory of its outputs among it, and does not grow.
    assert left[0] == left[1] == left[2]
    del decoder
    gc.collect()
    assert not cuda.memory
    one_machine.lanes.close()
    gc.collect()
    assert not cuda.pinned


def test_arenas_come_in_few_sizes_and_hold_what_was_asked(one_machine: Machine) -> None:
    decoder = one_machine.decoder("mem_lm")
    sizes = {capacity: decoder.new_arena(capacity) for capacity in (1, 256, 257, 5000)}
    assert [arena.bucket for arena in sizes.values()] == [256, 256, 512, 8192]
    with pytest.raises(EngineError, match="exceed its capacity of 1"):
        decoder.hidden(sizes[1], embeddings(256, 2))
    for odd in (0, 8193):
        with pytest.raises(EngineError, match="has no arena of"):
            decoder.new_arena(odd)


def test_asking_too_much_is_an_error_that_says_of_whom(one_machine: Machine) -> None:
    memory, reasoner = one_machine.decoder("mem_lm"), one_machine.decoder("vlm_lm")
    arena = reasoner.new_arena(8)
    x = embeddings(256, 2)
    with pytest.raises(EngineError, match="engine mem_lm: was given a KV arena of another"):
        memory.hidden(arena, x)
    with pytest.raises(EngineError, match="gives logits, not hidden"):
        reasoner.hidden(arena, x)
    with pytest.raises(EngineError, match="rows outside its block"):
        reasoner.logits(arena, x, rows=np.array([2]))
    with pytest.raises(EngineError, match="takes no memory of shape"):
        one_machine.engine("mem_to_vlm").run({"memory": embeddings(256, 41)})


def test_a_plan_of_another_device_or_another_record_is_refused(
    one_machine: Machine, tmp_path: Path
) -> None:
    record = one_machine.records["mem_to_vlm"]
    (tmp_path / "mem_to_vlm").mkdir()
    (tmp_path / record.model).write_bytes(b"a plan of another GPU")
    with pytest.raises(EngineError, match="cannot load it"):
        one_machine.backend.load_engine(record, tmp_path, EngineConfig(), one_machine.lanes)
    plan = json.loads((one_machine.folder / record.model).read_text())
    plan["model"] = str(one_machine.folder / "mem_proj" / "model.onnx")
    (tmp_path / record.model).write_text(json.dumps(plan))
    with pytest.raises(PackError, match="an input features that the manifest does not record"):
        one_machine.backend.load_engine(record, tmp_path, EngineConfig(), one_machine.lanes)


@pytest.mark.parametrize(
    ("side", "changed", "said"),
    [
        ("inputs", TensorInfo("memory", "float16", ("tokens", 256)), "records float16"),
        (
            "inputs",
            TensorInfo("memory", "float32", ("tokens", 255)),
            r"records float32\['tokens', 255",
        ),
        ("inputs", TensorInfo("memory", "float32", (7, 256)), r"records float32\[7, 256"),
        (
            "outputs",
            TensorInfo("rows", "float32", ("tokens", 256)),
            "lacks the output rows|output embeds",
        ),
    ],
)
def test_a_plan_is_held_against_every_name_dtype_and_size_that_is_recorded(
    one_machine: Machine, side: str, changed: TensorInfo, said: str
) -> None:
    record = dataclasses.replace(one_machine.records["mem_to_vlm"], **{side: (changed,)})
    with pytest.raises(PackError, match=said):
        one_machine.backend.load_engine(
            record, one_machine.folder, EngineConfig(), one_machine.lanes
        )


def test_a_plan_for_later_versions_is_loaded(one_machine: Machine, tmp_path: Path) -> None:
    record = one_machine.records["mem_to_vlm"]
    inputs = record.inputs
    task = BuildTask(
        one_machine.folder / "mem_to_vlm" / "model.onnx",
        tmp_path / record.model,
        encoder_profiles(inputs, {"tokens": 8}, {}),
    )
    task.plan.parent.mkdir()
    build_engine(task, BuildOptions(version_compatible=True), lambda line: None)
    loaded = one_machine.backend.load_engine(record, tmp_path, EngineConfig(), one_machine.lanes)
    assert loaded.run({"memory": embeddings(256, 2)})["embeds"].shape == (2, 256)


def test_a_full_device_is_an_error_with_cudas_words(one_machine: Machine) -> None:
    one_machine.device.cuda.room = 1 << 16
    with pytest.raises(EngineError, match="CUDA: cudaErrorMemoryAllocation"):
        one_machine.decoder("mem_lm")


def test_cuda_is_called_as_its_binding_is_recorded() -> None:
    recorded = json.loads((RECORDINGS / "cuda-bindings.json").read_text())
    source = Path(importlib.util.find_spec(f"{BACKEND}.cuda").origin).read_text()
    used = set(re.findall(r"cudart\.(cuda\w+)", source))
    assert used == {*recorded["functions"], *recorded["enums"]}
    for name, members in recorded["enums"].items():
        assert set(re.findall(rf"{name}\.(\w+)", source)) <= set(members)
    for name, arguments in recorded["functions"].items():
        fake = getattr(FakeCuda, name)
        assert len(inspect.signature(fake).parameters) == 1 + len(arguments), name
