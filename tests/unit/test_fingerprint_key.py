"""The cache key: what it depends on, and which changes of the machine matter to which backend."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes_pack import with_engine, write_pack
from omnilive.engine.cache_key import (
    NOTE,
    REBUILD,
    CacheKey,
    changes,
    machine_facts,
    recorded_key,
)
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.manifest import Manifest, from_json, to_json

GPU = {"name": "Orin", "compute_capability": "8.7", "memory_mib": "0", "driver": "540.4"}
MACHINE = {
    "device": "A board",
    "cpu_features": ["avx2", "fma"],
    "backends": {"onnxruntime": "1.31.1", "tensorrt": "10.3.0"},
    "gpus": [GPU],
}


def key_of(backend: str, machine: dict[str, Any] = MACHINE, **changed: Any) -> CacheKey:
    key = CacheKey("s" * 64, {"precision": "int4"}, "b" * 64, machine_facts(machine, backend))
    return dataclasses.replace(key, **changed)


def with_key(manifest: Manifest, key: CacheKey) -> Manifest:
    kept = dataclasses.replace(manifest, fingerprint={"key": dataclasses.asdict(key)})
    return from_json(to_json(kept), pack=Path("a-pack"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_pack(tmp_path_factory.mktemp("pack"))


def test_a_key_comes_back_from_the_manifest_with_its_digest(manifest: Manifest) -> None:
    key = key_of("tensorrt")
    found = recorded_key(with_key(manifest, key).fingerprint)
    assert found == key
    assert found is not None
    assert found.digest == key.digest


@pytest.mark.parametrize("odd", [{}, {"key": 3}, {"key": {"source": "s"}}])
def test_a_pack_without_a_key_or_with_an_odd_one_has_nothing_to_compare(
    manifest: Manifest, odd: dict[str, Any]
) -> None:
    bent = dataclasses.replace(manifest, fingerprint=odd)
    assert recorded_key(bent.fingerprint) is None
    assert changes(bent, device_fingerprint()) == ()


fields = st.sampled_from(
    ["source", "recipe", "builder", "backend_version", "device", "compute_capability", "features"]
)


@given(fields)
def test_every_part_of_the_key_changes_its_digest(field: str) -> None:
    key = key_of("tensorrt")
    if field in ("source", "recipe", "builder"):
        other = dataclasses.replace(key, **{field: {"a": 1} if field == "recipe" else "other"})
    else:
        name = "cpu_features" if field == "features" else field
        value: Any = ("sve",) if field == "features" else "other"
        other = dataclasses.replace(key, machine=dataclasses.replace(key.machine, **{name: value}))
    assert other.digest != key.digest


def test_the_driver_is_recorded_and_no_part_of_the_digest() -> None:
    key = key_of("tensorrt")
    other = dataclasses.replace(key, machine=dataclasses.replace(key.machine, driver="999"))
    assert key.machine.driver == "540.4"
    assert other.digest == key.digest


def test_a_backend_for_the_gpu_names_it_and_another_names_the_board() -> None:
    assert key_of("tensorrt").machine.device == "Orin"
    assert key_of("ort").machine.device == "A board"
    alone = {**MACHINE, "gpus": [], "backends": {"onnxruntime-gpu": "1.30.0"}}
    facts = key_of("ort", alone).machine
    assert (facts.backend_version, facts.compute_capability, facts.driver) == ("1.30.0", "", "")


OTHER: dict[str, dict[str, Any]] = {
    "version": {"backends": {"onnxruntime": "1.99.0", "tensorrt": "10.13.3"}},
    "features": {"cpu_features": ["avx512f"]},
    "board": {"device": "Another board"},
    "gpu": {"gpus": [{**GPU, "name": "Thor"}]},
    "capability": {"gpus": [{**GPU, "compute_capability": "11.0"}]},
    "driver": {"gpus": [{**GPU, "driver": "580.1"}]},
}


@pytest.mark.parametrize(
    ("backend", "changed", "means"),
    [
        ("ort", "version", NOTE),
        ("ort", "features", None),
        ("ort", "board", None),
        ("ort", "gpu", None),
        ("ort", "capability", None),
        ("ort", "driver", None),
        ("tensorrt", "version", REBUILD),
        ("tensorrt", "features", None),
        ("tensorrt", "board", None),
        ("tensorrt", "gpu", REBUILD),
        ("tensorrt", "capability", REBUILD),
        ("tensorrt", "driver", NOTE),
    ],
)
def test_only_what_matters_to_a_backend_is_a_change(
    manifest: Manifest, backend: str, changed: str, means: str | None
) -> None:
    kept = with_key(manifest, key_of(backend))
    assert changes(kept, MACHINE) == ()
    found = changes(kept, {**MACHINE, **OTHER[changed]})
    assert [change.means for change in found] == ([] if means is None else [means])


def test_other_cpu_features_are_noted_where_accuracy_was_measured_with_the_old_ones(
    manifest: Manifest,
) -> None:
    measured = with_engine(manifest, "vlm_lm", accuracy={"passed": True})
    (found,) = changes(with_key(measured, key_of("ort")), {**MACHINE, **OTHER["features"]})
    assert found.means == NOTE
    assert str(found) == "CPU features was avx2 fma, is avx512f"


@pytest.mark.parametrize(
    ("bears", "changed", "means"),
    [
        (("device",), "gpu", NOTE),
        (("device",), "capability", REBUILD),
        (("device", "compute_capability"), "capability", NOTE),
        (("backend_version",), "version", NOTE),
        (("backend_version",), "gpu", REBUILD),
    ],
)
def test_what_engines_were_compiled_to_bear_is_only_noted(
    manifest: Manifest, bears: tuple[str, ...], changed: str, means: str
) -> None:
    kept = with_key(manifest, key_of("tensorrt", bears=bears))
    (found,) = changes(kept, {**MACHINE, **OTHER[changed]})
    assert found.means == means


@pytest.mark.parametrize("version", ["10.2.9", "11.0.0", ""])
def test_an_earlier_version_or_another_major_is_never_borne(
    manifest: Manifest, version: str
) -> None:
    kept = with_key(manifest, key_of("tensorrt", bears=("backend_version",)))
    backends = {"tensorrt": version} if version else {}
    (found,) = changes(kept, {**MACHINE, "backends": backends})
    assert found.means == REBUILD
