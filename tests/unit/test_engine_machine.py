"""What the engine layer says about this machine."""

from __future__ import annotations

import json

import pytest

from omnilive.engine import backends, fingerprint
from omnilive.engine.backends import backend, backend_states
from omnilive.engine.fingerprint import KERNEL_FEATURES, device_fingerprint
from omnilive.errors import PackError, SetupError


def test_the_fingerprint_is_json_names_the_backend_and_is_the_same_twice() -> None:
    first = device_fingerprint()
    assert json.loads(json.dumps(first)) == first
    assert first == device_fingerprint()
    assert "onnxruntime" in first["backends"]
    assert first["cores"] >= 1
    assert first["cpu"]


def test_features_are_read_from_x86_and_arm_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    listings = {
        "x86": "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_vnni\n",
        "arm": "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nModel\t\t: Some Board\n",
    }
    found = {}
    for name, text in listings.items():
        monkeypatch.setattr(
            fingerprint, "_read", lambda path, text=text: text if "cpuinfo" in path else ""
        )
        found[name] = device_fingerprint()
    assert found["x86"]["cpu_features"] == ["avx2", "avx512_vnni"]
    assert found["x86"]["device"] == "Some CPU"
    assert found["arm"]["cpu_features"] == ["asimd", "asimddp", "i8mm"]
    assert set(found["arm"]["cpu_features"]) <= KERNEL_FEATURES


def test_a_machine_without_proc_still_has_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_read", lambda path: "")
    facts = device_fingerprint()
    assert facts["memory_bytes"] == 0
    assert facts["cpu"]


def test_the_onnxruntime_backend_is_available_with_its_cpu_provider() -> None:
    (state,) = [s for s in backend_states() if s.name == "ort"]
    assert state.available
    assert "CPUExecutionProvider" in state.devices


def test_an_unknown_backend_is_a_pack_error() -> None:
    with pytest.raises(PackError, match="'abacus'"):
        backend("abacus")


def test_a_backend_whose_package_is_absent_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(backends.BACKEND_MODULES, "ort", "omnilive.engine.no_such_module")
    with pytest.raises(SetupError, match="pip install onnxruntime"):
        backend("ort")
    (state,) = [s for s in backend_states() if s.name == "ort"]
    assert not state.available
    assert "pip install" in state.mend
