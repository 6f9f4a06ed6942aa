"""The manifest of a pack: what is written is read back, and every odd field is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes_pack import write_pack
from omnilive.engine.architecture import faults
from omnilive.engine.manifest import MANIFEST_NAME, Manifest, from_json, to_json
from omnilive.engine.typed_json import read
from omnilive.errors import PackError


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder)
    return (folder / MANIFEST_NAME).read_text(encoding="utf-8")


def parsed(text: str) -> Manifest:
    return from_json(text, pack=Path("a-pack"))


def changed(text: str, path: tuple[str | int, ...], value: object) -> str:
    raw = json.loads(text)
    at: Any = raw
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(raw)


def test_what_is_written_is_read_back(text: str) -> None:
    manifest = parsed(text)
    assert parsed(to_json(manifest)) == manifest
    assert to_json(manifest) == text


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("name",), 7, "name expected a string, found 7"),
        (("trained",), "yes", "trained expected true or false, found 'yes'"),
        (("memory",), [], "memory expected an object, found []"),
        (("memory", "pixels"), "8", "memory.pixels expected an integer, found '8'"),
        (("memory", "pixels"), True, "memory.pixels expected an integer, found True"),
        (("memory", "new"), 1, "memory.new is unknown"),
        (("audio", "eos_ids"), "x", "audio.eos_ids expected a list, found 'x'"),
        (("audio", "eos_ids"), [None], "audio.eos_ids[0] expected an integer, found None"),
        (("engines", "mem_lm", "backend"), [], "engines.mem_lm.backend expected a string"),
        (("engines", "mem_lm", "files", 0, "path"), 1, "engines.mem_lm.files[0].path expected"),
        (("engines", "mem_lm", "kv", "layers"), 1.5, "engines.mem_lm.kv.layers expected an int"),
        (("engines", "mem_lm", "accuracy"), 0, "engines.mem_lm.accuracy expected an object"),
        (("engines", "mem_lm", "build_seconds"), "1", "build_seconds expected a number"),
        (
            ("engines", "mem_lm", "inputs", 0, "shape"),
            [None],
            "shape[0] expected an integer or a string, found None",
        ),
        (("engines", "mem_lm", "size"), 3, "engines.mem_lm.size expected an object, found 3"),
        (("engines", "mem_lm", "size"), {}, "engines.mem_lm.size.parameters is missing"),
        (("tables", "mem_embed", "file"), None, "tables.mem_embed.file expected an object"),
    ],
)
def test_a_field_of_another_type_is_named_with_what_was_expected(
    text: str, path: tuple[str | int, ...], value: object, said: str
) -> None:
    with pytest.raises(PackError) as caught:
        parsed(changed(text, path, value))
    assert said in caught.value.what
    assert caught.value.where == str(Path("a-pack") / MANIFEST_NAME)
    assert "Rebuild it" in caught.value.mend


def test_a_missing_field_is_named(text: str) -> None:
    raw = json.loads(text)
    del raw["tokenizers"]["audio"]["kind"]
    with pytest.raises(PackError, match=r"tokenizers\.audio\.kind is missing"):
        parsed(json.dumps(raw))


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("audio", "hop"), 0, "audio.hop"),
        (("audio", "min_samples"), 10**9, "audio.min_samples"),
        (("memory", "slots"), -4, "memory.slots"),
        (("reasoner", "max_new_tokens"), 0, "reasoner.max_new_tokens"),
    ],
)
def test_a_size_that_no_model_has_is_a_fault(
    text: str, path: tuple[str | int, ...], value: int, where: str
) -> None:
    assert where not in [place for place, _ in faults(parsed(text))]
    assert where in [place for place, _ in faults(parsed(changed(text, path, value)))]


@dataclasses.dataclass(frozen=True)
class Leaf:
    name: str
    size: int | str = 1


@dataclasses.dataclass(frozen=True)
class Tree:
    leaf: Leaf
    leaves: tuple[Leaf, ...]
    by_name: Mapping[str, float]
    maybe: Leaf | None = None
    anything: Any = None


leaves = st.builds(Leaf, st.text(max_size=5), st.integers() | st.text(max_size=5))
trees = st.builds(
    Tree,
    leaves,
    st.lists(leaves, max_size=3).map(tuple),
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)),
    st.none() | leaves,
    st.none() | st.integers(),
)


@given(trees)
def test_any_dataclass_comes_back_from_its_json(tree: Tree) -> None:
    assert read(Tree, json.loads(json.dumps(dataclasses.asdict(tree)))) == tree


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(json_values, st.sampled_from(["leaf", "leaves", "by_name", "maybe"]))
def test_whatever_a_file_holds_is_read_or_refused(value: object, key: str) -> None:
    raw: dict[str, object] = {"leaf": {"name": "a"}, "leaves": [], "by_name": {}, key: value}
    try:
        tree = read(Tree, raw)
    except ValueError as e:
        assert key in str(e)
    else:
        assert isinstance(tree, Tree)
