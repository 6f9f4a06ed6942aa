"""Real engines that the native core runs: the same results, chained without the interpreter."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from omnilive._native import LaneScheduler, LaneTicket, OrtLibrary, OrtModel, OrtTensor
from omnilive.engine.config import EngineConfig
from omnilive.engine.ort_native import open_library, open_model
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import EngineError

SEE, REMEMBER = 1, 2
LONG_S = 60


@pytest.fixture(scope="module")
def library() -> OrtLibrary:
    return open_library()


@pytest.fixture(scope="module")
def pack(micro_pack: Path) -> Iterator[EnginePack]:
    pack = open_pack(micro_pack)
    yield pack
    pack.close()


def model(library: OrtLibrary, pack: EnginePack, name: str) -> OrtModel:
    return open_model(library, pack.manifest.engines[name], pack.path, EngineConfig(threads=1))


@contextmanager
def served(*lanes: int) -> Iterator[LaneScheduler]:
    scheduler = LaneScheduler(
        capacities=[64] * 5, drop_oldest=[False] * 5, priorities=[0] * 5, permits=[0] * 5
    )
    threads = [threading.Thread(target=scheduler.serve, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        yield scheduler
    finally:
        scheduler.close()
        for thread in threads:
            thread.join()


def test_a_native_call_gives_what_the_python_package_gives(
    library: OrtLibrary, pack: EnginePack
) -> None:
    vit = model(library, pack, "mem_vit")
    frames, features = OrtTensor("uint8", [1, 112, 112, 3]), OrtTensor("float32", [1, 16, 512])
    cls = OrtTensor("float32", [1, 128])
    frames.array[...] = np.random.default_rng(3).integers(0, 256, frames.array.shape)
    call = vit.call({"frames": frames}, {"features": features, "cls": cls})
    call.run()
    expected = pack.engine("mem_vit").run({"frames": frames.array})
    np.testing.assert_allclose(features.array, expected["features"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(cls.array, expected["cls"], rtol=1e-5, atol=1e-5)


def test_a_models_tensors_are_those_of_its_manifest(library: OrtLibrary, pack: EnginePack) -> None:
    vit = model(library, pack, "mem_vit")
    assert vit.inputs == [("frames", "uint8", (-1, 112, 112, 3))]
    assert {name: dtype for name, dtype, _ in vit.outputs} == {
        "features": "float32",
        "cls": "float32",
    }


def test_engines_hand_on_their_results_while_another_thread_keeps_the_interpreter(
    library: OrtLibrary, pack: EnginePack
) -> None:
    """This thread never lets go of the GIL: a hand-off that needed it would not come to its end."""
    vit, projector = model(library, pack, "mem_vit"), model(library, pack, "mem_proj")
    frames, features = OrtTensor("uint8", [1, 112, 112, 3]), OrtTensor("float32", [1, 16, 512])
    cls = OrtTensor("float32", [1, 128])
    frames.array[...] = np.random.default_rng(5).integers(0, 256, frames.array.shape)
    slots = pack.engine("mem_proj").run({"features": np.zeros((1, 16, 512), np.float32)})
    clip = OrtTensor("float32", slots["clip_embeds"].shape)
    see = vit.call({"frames": frames}, {"features": features, "cls": cls})
    remember = projector.call({"features": features}, {"clip_embeds": clip})

    interval = sys.getswitchinterval()
    with served(SEE, REMEMBER) as scheduler:
        sys.setswitchinterval(LONG_S)
        try:
            chain: list[LaneTicket] = []
            for _ in range(10):
                for lane, job in ((SEE, see), (REMEMBER, remember)):
                    ticket, _ = scheduler.submit_native(lane, job, after=chain[-1:])
                    assert isinstance(ticket, LaneTicket)
                    chain.append(ticket)
            until = time.monotonic() + LONG_S
            while chain[-1].state in ("waiting", "running") and time.monotonic() < until:
                pass
            states = [ticket.state for ticket in chain]
        finally:
            sys.setswitchinterval(interval)
        assert states == ["done"] * 20
        assert scheduler.gil_taken == 0
        times = [ticket.times_ns for ticket in chain]
        assert all(a and b and a[2] <= b[1] for a, b in itertools.pairwise(times))
    expected = pack.engine("mem_proj").run({"features": features.array})["clip_embeds"]
    np.testing.assert_allclose(clip.array, expected, rtol=1e-5, atol=1e-5)


def test_tensors_that_do_not_fit_a_model_are_refused_by_name(
    library: OrtLibrary, pack: EnginePack
) -> None:
    projector = model(library, pack, "mem_proj")
    clip = OrtTensor("float32", [17, 256])
    with pytest.raises(ValueError, match="nothing is bound to features"):
        projector.call({}, {"clip_embeds": clip})
    with pytest.raises(ValueError, match="no frames"):
        projector.call({"frames": clip}, {"clip_embeds": clip})
    for wrong in (OrtTensor("float32", [1, 16, 511]), OrtTensor("uint8", [1, 16, 512])):
        with pytest.raises(ValueError, match=r"features is \[-1, 16, 512\]"):
            projector.call({"features": wrong}, {"clip_embeds": clip})
    with pytest.raises(ValueError, match="float64"):
        OrtTensor("float64", [1])


def test_a_call_that_fails_drops_what_waits_for_it(library: OrtLibrary, pack: EnginePack) -> None:
    projector = model(library, pack, "mem_proj")
    features, clip = OrtTensor("float32", [1, 16, 512]), OrtTensor("float32", [3, 256])
    wrong = projector.call({"features": features}, {"clip_embeds": clip})  # it gives 17 rows or so
    with served(SEE, REMEMBER) as scheduler:
        first, _ = scheduler.submit_native(SEE, wrong, reports=True)
        assert isinstance(first, LaneTicket)
        scheduler.submit(REMEMBER, "second", lambda: None, after=[first])
        outcomes = [scheduler.take(LONG_S * 1_000_000) for _ in range(2)]
    (owner, _, error, dropped), second = outcomes
    assert owner is None and isinstance(error, RuntimeError) and not dropped
    assert second[0] == "second" and second[3]
    assert first.state == "failed"


def test_what_is_no_model_and_no_library_is_an_error(
    library: OrtLibrary, pack: EnginePack, tmp_path: Path
) -> None:
    folder = tmp_path / pack.manifest.engines["mem_vit"].model
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"no graph")
    with pytest.raises(EngineError, match="mem_vit"):
        open_model(library, pack.manifest.engines["mem_vit"], tmp_path, EngineConfig())
    with pytest.raises(RuntimeError, match=r"not ONNX Runtime|cannot load"):
        OrtLibrary("libm.so.6")
    with pytest.raises(RuntimeError, match="cannot load"):
        OrtLibrary(str(folder))


def test_the_cores_of_an_engines_threads_reach_the_library(
    library: OrtLibrary, micro_pack: Path
) -> None:
    pinned = EngineConfig(threads=2, affinity="1")
    with closing(open_pack(micro_pack, config=pinned)) as pack:
        info = pack.manifest.engines["mem_vit"]
        assert pack.engine("mem_vit").run({"frames": np.zeros((1, 112, 112, 3), np.uint8)})
        assert open_model(library, info, pack.path, pinned).inputs
    wrong = EngineConfig(threads=2, affinity="no core")
    with closing(open_pack(micro_pack, config=wrong)) as pack:
        with pytest.raises(EngineError, match="mem_vit"):
            pack.engine("mem_vit")
        with pytest.raises(EngineError, match="mem_vit"):
            open_model(library, info, pack.path, wrong)
