from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from omnilive.errors import CheckpointError
from omnilive_export.reading.config_file import read_config
from omnilive_export.reading.row_source import ArrayRows, PickedRows, RowRange, row_blocks
from omnilive_export.reading.safetensors_file import SafetensorsFile
from omnilive_export.reading.tensor_store import TensorStore
from omnilive_export.reading.torch_file import TorchFile
from torch_files import write_torch_file


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) >> 16).astype("<u2")


def write_bfloat16(path: Path, name: str, values: np.ndarray) -> None:
    data = bfloat16_bits(values).tobytes()
    entry = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({name: entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


@pytest.mark.parametrize("dtype", (np.float32, np.float16))
def test_rows_are_those_the_library_wrote(tmp_path: Path, dtype: type) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "a": rng.standard_normal((7, 3, 5)).astype(dtype),
        "b": rng.standard_normal(11).astype(dtype),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    file = SafetensorsFile(tmp_path / "x.safetensors")
    assert set(file.entries) == {"a", "b"}
    np.testing.assert_array_equal(file.rows("a", 2, 6), tensors["a"][2:6].astype(np.float32))
    np.testing.assert_array_equal(file.rows("b", 0, 11), tensors["b"].astype(np.float32))
    file.close()


def test_bfloat16_widens_exactly(tmp_path: Path) -> None:
    exact = np.array([[0.0, -1.5, 2.0**-126], [3.0, np.inf, -(2.0**100)]], np.float32)
    write_bfloat16(tmp_path / "x.safetensors", "a", exact)
    file = SafetensorsFile(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(file.rows("a", 0, 2), exact)
    with pytest.raises(IndexError):
        file.rows("a", 1, 3)
    file.close()


@given(cut=st.integers(0, 200))
def test_a_truncated_file_is_refused_whatever_is_left(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "x.safetensors"
    save_file({"a": np.arange(16, dtype=np.float32)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(CheckpointError) as raised:
        SafetensorsFile(path)
    assert raised.value.where == str(path)


def resident_file_bytes() -> int:
    """Pages of mapped files in this process's memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssFile:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no RssFile")


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux's /proc")
@pytest.mark.parametrize("name", ["x.safetensors", "x.bin"])
def test_pages_of_a_large_file_leave_memory_once_they_are_read(tmp_path: Path, name: str) -> None:
    large = {"a": np.zeros((4096, 4096), np.float32)}
    path = tmp_path / name
    if name.endswith(".bin"):
        write_torch_file(path, large)
    else:
        save_file(large, path)
    file = TorchFile(path) if name.endswith(".bin") else SafetensorsFile(path)
    before = most = resident_file_bytes()
    for start, stop in row_blocks((4096, 4096)):
        file.rows("a", start, stop)
        most = max(most, resident_file_bytes())
    file.close()
    assert most - before < 8 << 20 < path.stat().st_size


def test_shards_are_found_by_their_index(tmp_path: Path) -> None:
    save_file({"a": np.full((2, 2), 1, np.float32)}, tmp_path / "one.safetensors")
    save_file({"b": np.full((3, 2), 2, np.float32)}, tmp_path / "two.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    store = TensorStore(tmp_path)
    assert store.tensor("b", (3, None), why="").rows(1, 3).tolist() == [[2, 2], [2, 2]]
    assert {p.name for p in store.files} == {
        "one.safetensors",
        "two.safetensors",
        "model.safetensors.index.json",
    }
    store.close()


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"weight_map": {"b": "one.safetensors"}}, "tensor b is not in one.safetensors"),
        ({"weight_map": {"a": "gone.safetensors"}}, "cannot be opened"),
        ({"weight_map": {"a": "../one.safetensors"}}, "expected file names"),
        ({}, "'weight_map' is missing"),
    ],
)
def test_an_odd_index_is_refused(tmp_path: Path, index: dict[str, object], said: str) -> None:
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "one.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=said):
        TensorStore(tmp_path)


def test_a_tensor_of_another_shape_or_type_is_refused_by_name(tmp_path: Path) -> None:
    save_file(
        {"a": np.zeros((2, 3), np.float32), "i": np.zeros(4, np.int32)},
        tmp_path / "model.safetensors",
    )
    store = TensorStore(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"tensor a has shape \[2, 3\], expected \[2, 4\] \(h"
    ):
        store.tensor("a", (2, 4), why="hidden_size")
    with pytest.raises(CheckpointError, match=r"tensor c is missing, expected shape \[any, 4\]"):
        store.tensor("c", (None, 4), why="")
    with pytest.raises(CheckpointError, match="tensor i has dtype I32"):
        store.tensor("i", (4,), why="")
    store.close()


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    picks=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6)), min_size=1),
    window=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_picked_rows_equal_a_concatenation(
    sizes: list[int], picks: list[tuple[int, int, int]], window: tuple[int, int]
) -> None:
    arrays = [np.random.default_rng(i).standard_normal((n, 2)) for i, n in enumerate(sizes)]
    ranges, parts = [], []
    for which, a, b in picks:
        array = arrays[which % len(arrays)].astype(np.float32)
        start, stop = sorted((min(a, len(array)), min(b, len(array))))
        ranges.append(RowRange(ArrayRows(array), start, stop))
        parts.append(array[start:stop])
    joined = np.concatenate(parts)
    picked = PickedRows(tuple(ranges))
    assert picked.shape == joined.shape
    start, stop = sorted(min(w, len(joined)) for w in window)
    np.testing.assert_array_equal(picked.rows(start, stop), joined[start:stop])


@given(rows=st.integers(1, 500), width=st.integers(1, 50), block=st.integers(1, 400))
def test_row_blocks_cover_every_row_once_within_their_size(
    rows: int, width: int, block: int
) -> None:
    blocks = list(row_blocks((rows, width), block_elements=block))
    assert [i for start, stop in blocks for i in range(start, stop)] == list(range(rows))
    assert all((stop - start) * width <= max(block, width) for start, stop in blocks)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": "4"}', "key 'n' expected a positive integer, found '4'"),
        ('{"n": 0}', "key 'n' expected a positive integer, found 0"),
        ('{"n": true}', "key 'n' expected a positive integer, found True"),
        ('{"n": 1000000000000}', "key 'n' expected at most 1048576, found 1000000000000"),
        ("{}", "key 'n' is missing, expected a positive integer"),
        ("[1]", "expected a JSON object, found list"),
        ("{", "is not JSON"),
    ],
)
def test_an_odd_configuration_says_file_key_expected_and_found(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CheckpointError) as raised:
        read_config(path).integer("n")
    assert said in raised.value.what
    assert raised.value.where == str(path)


def test_a_nested_key_is_named_with_its_section(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"audio_config": {"d_model": -1}}')
    with pytest.raises(CheckpointError, match=r"key 'audio_config\.d_model' expected"):
        read_config(path).section("audio_config").integer("d_model")
