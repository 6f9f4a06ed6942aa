"""Real engines that the native core runs: the same results, without the interpreter."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive._native import (
    LaneScheduler,
    LaneTicket,
    OrtLibrary,
    OrtModel,
    OrtTensor,
    resize_rgb,
)
from omnilive.engine.config import EngineConfig
from omnilive.engine.ort_native import open_library, open_model
from omnilive.engine.ort_session import open_session
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import EngineError
from omnilive.lanes import Job, Lane, ThreadLanes, Work
from omnilive.perception.frame_encoder import Encoding, FrameEncoder, FrameFeatures

SEE, REMEMBER = 1, 2
LONG_S = 60


@pytest.fixture(scope="module")
def library() -> OrtLibrary:
    return open_library()


@pytest.fixture(scope="module")
def pack(micro_pack: Path) -> Iterator[EnginePack]:
    pack = open_pack(micro_pack, threads=1)
    yield pack
    pack.close()


def model(library: OrtLibrary, pack: EnginePack, name: str) -> OrtModel:
    return open_model(library, pack.manifest.engines[name], pack.path, EngineConfig(threads=1))


def python_session(pack: EnginePack, name: str) -> ort.InferenceSession:
    return open_session(pack.manifest.engines[name], pack.path, EngineConfig(threads=1))


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
    expected = python_session(pack, "mem_vit").run(["features", "cls"], {"frames": frames.array})
    np.testing.assert_array_equal(features.array, expected[0])
    np.testing.assert_array_equal(cls.array, expected[1])


STATELESS = ("mem_vit", "mem_proj", "mem_to_vlm", "vlm_vit", "aud_enc")


@pytest.fixture(scope="module")
def sessions(pack: EnginePack) -> dict[str, ort.InferenceSession]:
    return {name: python_session(pack, name) for name in STATELESS}


@pytest.mark.parametrize("name", STATELESS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_an_engine_gives_to_the_bit_what_the_python_package_gives(
    pack: EnginePack, sessions: dict[str, ort.InferenceSession], name: str, data: st.DataObject
) -> None:
    info = pack.manifest.engines[name]
    shortest = pack.manifest.audio.min_samples if name == "aud_enc" else 1
    free = data.draw(st.integers(shortest, 9 * shortest))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    feeds: dict[str, npt.NDArray[Any]] = {}
    for tensor in info.inputs:
        shape = [size if isinstance(size, int) else free for size in tensor.shape]
        if tensor.dtype == "uint8":
            feeds[tensor.name] = rng.integers(0, 256, shape, np.uint8)
        else:
            feeds[tensor.name] = rng.standard_normal(shape).astype(tensor.dtype)
    found = pack.engine(name).run(feeds)
    expected = sessions[name].run(list(found), feeds)
    assert list(found) == [tensor.name for tensor in info.outputs]
    for value, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_array_equal(value, wanted)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.booleans(), st.integers(0, 99))
def test_a_frame_of_any_size_is_seen_as_it_is_resized_and_then_encoded(
    pack: EnginePack,
    sessions: dict[str, ort.InferenceSession],
    height: int,
    width: int,
    mirrored: bool,
    seed: int,
) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    rgb = rgb[:, ::-1] if mirrored else rgb
    pixels = pack.manifest.memory.pixels
    square = resize_rgb(np.ascontiguousarray(rgb), pixels, pixels)[None]
    expected = sessions["mem_vit"].run(["features", "cls"], {"frames": square})
    encoding = FrameEncoder(pack).begin(rgb)
    assert encoding.native is not None
    for found in (encoding_run(encoding), FrameEncoder(pack).encode(rgb)):
        np.testing.assert_array_equal(found.features, expected[0][0])
        np.testing.assert_array_equal(found.cls, expected[1][0])


def encoding_run(encoding: Encoding) -> FrameFeatures:
    assert encoding.native is not None
    encoding.native.job.run()
    return encoding.features()


def test_results_outlive_their_run_and_the_next_ones(pack: EnginePack) -> None:
    encoder = FrameEncoder(pack)
    frames = [np.full((9, 9, 3), value, np.uint8) for value in (0, 128, 255)]
    kept = [encoder.encode(rgb) for rgb in frames]
    for rgb, found in zip(frames, kept, strict=True):
        np.testing.assert_array_equal(encoder.encode(rgb).features, found.features)


def test_a_frame_is_encoded_while_another_thread_keeps_the_interpreter(pack: EnginePack) -> None:
    """This thread never lets go of the GIL, though it looks on until the frame is encoded."""
    lanes = ThreadLanes()
    lanes.start()
    encoder, found = FrameEncoder(pack), list[FrameFeatures]()
    rgb = np.random.default_rng(5).integers(0, 256, (180, 320, 3), np.uint8)
    encoding = encoder.begin(rgb)

    def encode() -> Work[FrameFeatures]:
        return Work(encoding.features(), 0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(2 * LONG_S)
    try:
        lanes.submit(Job(Lane.SEE, encode, lambda f: found.append(f.value), native=encoding.native))
        until = time.monotonic() + LONG_S
        while lanes.figures()["see"]["native"] == 0 and time.monotonic() < until:
            pass
        counts = lanes.figures()["see"]
    finally:
        sys.setswitchinterval(interval)
    assert counts["native"] == 1 and counts["gil_taken"] == 0
    lanes.run()
    lanes.close()
    np.testing.assert_array_equal(found[0].features, encoder.encode(rgb).features)


def test_a_models_tensors_are_those_of_its_manifest(library: OrtLibrary, pack: EnginePack) -> None:
    vit = model(library, pack, "mem_vit")
    assert vit.inputs == [("frames", "uint8", ("frames", 112, 112, 3))]
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
        sys.setswitchinterval(2 * LONG_S)
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
