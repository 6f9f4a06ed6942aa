"""The estimated plans of device classes: their sizes are the exporter's, their files load."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from omnilive.config import load_config
from omnilive.engine.manifest_file import read_manifest
from omnilive_micropack.dimensions import MICRO

DEPLOY = Path(__file__).resolve().parents[2] / "deploy_jetson"
CLASSES = {
    *("orin-nano-8gb", "orin-nx-16gb", "agx-orin-32gb", "agx-orin-64gb", "thor"),
    *("server-cpu", "server-gpu"),
}


@pytest.fixture(scope="module")
def device_plans() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device_plans", DEPLOY / "device_plans.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_sizes_and_files_of_the_miniature_are_those_of_its_pack(
    device_plans: ModuleType, micro_pack: Path
) -> None:
    manifest = read_manifest(micro_pack)
    assert device_plans.sizes(MICRO) == {n: e.size for n, e in manifest.engines.items()}
    resized = device_plans.resized(manifest, MICRO, manifest.build["block_size"])
    assert (resized.memory, resized.audio, resized.reasoner) == (
        manifest.memory,
        manifest.audio,
        manifest.reasoner,
    )
    for name, engine in manifest.engines.items():
        assert resized.engines[name].kv == engine.kv
        recorded = sum(file.bytes for file in engine.files)
        assert sum(f.bytes for f in resized.engines[name].files) == pytest.approx(recorded, rel=0.2)


def test_every_class_has_a_configuration_that_is_valid_behind_a_token(
    device_plans: ModuleType,
) -> None:
    files = {file.stem: file for file in (DEPLOY / "configs").glob("*.toml")}
    assert set(files) == CLASSES
    for name, file in files.items():
        config = load_config("edge", file)
        assert config.service.token_file == "/etc/omnilive/token" and not config.service.insecure
        assert config.service.state.startswith("/var/lib/omnilive/")
        assert (config.engine.device == "cuda") is (name == "server-gpu")


def test_the_table_of_the_page_is_what_the_command_prints(
    device_plans: ModuleType, micro_pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert device_plans.main(["--pack", str(micro_pack)]) == 0
    assert capsys.readouterr().out.strip() in (DEPLOY / "README.md").read_text(encoding="utf-8")
