"""The onnxruntime backend on the GPU, on a fake device that computes on the CPU."""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export_checkpoints import micro_checkpoint
from omnilive.engine.architecture import DECODER_NAMES
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import Manifest
from omnilive.engine.manifest_file import read_manifest
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import ConfigError, EngineError, PackError, SetupError
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import CompressionConfig
from omnilive.perception.audio_model import AudioModel
from omnilive.perception.config import RecognitionConfig
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.reasoning.assembly import Picture, PromptAssembly, PromptCounts
from omnilive.reasoning.image_tokens import ScaledPicture
from omnilive_export.cli import main
from ort_cuda_fake import PARTS, Machine, machine
from tensorrt_fake import ContractError

TOLERANCE = 2e-3
"""Between blocks of one length and of another, of float16 keys and values."""

GPU = EngineConfig(threads=1, device="cuda")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "cuda"
    line = ["--checkpoint", str(micro_checkpoint()), "--out", str(out), "--device", "cuda"]
    assert main([*line, "--block-size", "64"]) == 0
    return out


@pytest.fixture(scope="module")
def cpu_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "cpu"
    line = ["--checkpoint", str(micro_checkpoint()), "--out", str(out)]
    assert main([*line, "--block-size", "64"]) == 0
    return out


@pytest.fixture(scope="module")
def manifest(built: Path) -> Manifest:
    return read_manifest(built)


@pytest.fixture(scope="module")
def on_cpu(built: Path) -> Iterator[EnginePack]:
    pack = open_pack(built, threads=1, verify_hashes=False)
    yield pack
    pack.close()


@pytest.fixture
def gpu(built: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with machine(built, manifest, monkeypatch) as found:
        yield found


def features(seed: int, manifest: Manifest) -> np.ndarray:
    spec = manifest.memory
    shape = (2, spec.grid**2, spec.features)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def embeddings(seed: int, tokens: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((tokens, width)) * 0.05).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    found = np.asarray(found)
    limit = TOLERANCE * np.sqrt(np.square(expected, dtype=np.float64).mean())
    with np.errstate(invalid="ignore", over="ignore"):  # what was overwritten may be anything
        return found.shape == expected.shape and bool(np.abs(found - expected).max() <= limit)


def test_every_engine_gives_on_the_gpu_what_it_gives_on_the_cpu(
    gpu: Machine, on_cpu: EnginePack, manifest: Manifest
) -> None:
    feeds = {
        "mem_proj": {"features": features(0, manifest)},
        "mem_to_vlm": {"memory": embeddings(0, 5, manifest.memory.hidden)},
        "aud_enc": {"pcm": embeddings(0, 1, 8000)},
    }
    for name, given in feeds.items():
        expected = on_cpu.engine(name).run(given)
        found = gpu.engine(name).run(given)
        assert set(found) == set(expected)
        for output, values in expected.items():
            assert np.array_equal(found[output], values), (name, output)


@pytest.mark.parametrize("cuts", [(7,), (1, 1, 1, 4), (4, 1, 2)])
def test_a_decoder_appends_truncates_and_goes_on_as_on_the_cpu(
    gpu: Machine, on_cpu: EnginePack, manifest: Manifest, cuts: tuple[int, ...]
) -> None:
    x = embeddings(1, 7, manifest.reasoner.hidden)
    expected = on_cpu.decoder("vlm_lm")
    whole = expected.logits(expected.new_arena(64), x, plora_rows=np.array([2]))
    decoder = gpu.decoder("vlm_lm")
    arena = decoder.new_arena(64)
    decoder.logits(arena, embeddings(2, 9, manifest.reasoner.hidden))
    arena.truncate(0)
    at = 0
    for cut in cuts:
        plora = np.array([2 - at]) if at <= 2 < at + cut else None
        found = decoder.logits(arena, x[at : at + cut], plora_rows=plora)
        at += cut
    assert arena.length == 7
    assert close(found, whole)
    with pytest.raises(EngineError, match="7 \\+ 58 tokens exceed its capacity of 64"):
        decoder.logits(arena, embeddings(3, 58, manifest.reasoner.hidden))


def test_halves_in_attention_cost_little(on_cpu: EnginePack, cpu_pack: Path) -> None:
    plain = open_pack(cpu_pack, threads=1, verify_hashes=False)
    for name in ("mem_lm", "vlm_lm"):
        width = int(plain.manifest.engines[name].inputs[0].shape[-1])
        x = embeddings(5, 30, width)
        found, expected = (
            (decoder.hidden if name == "mem_lm" else decoder.logits)(decoder.new_arena(64), x)
            for decoder in (pack.decoder(name) for pack in (on_cpu, plain))
        )
        spread = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
        # Rounding activations to 8 bits beside int4 weights makes the most of every last digit.
        assert 0 < np.sqrt(np.mean((found - expected) ** 2)) < 3e-2 * spread
    plain.close()


def test_filling_an_arena_waits_for_nothing(gpu: Machine, manifest: Manifest) -> None:
    decoder = gpu.decoder("vlm_lm")
    arena = decoder.new_arena(64)
    gpu.cuda.trace.clear()
    nothing = decoder.logits(
        arena, embeddings(0, 9, manifest.reasoner.hidden), rows=np.zeros(0, np.int64)
    )
    assert nothing.shape == (0, manifest.reasoner.vocab)
    assert set(gpu.cuda.trace) == {"upload", "run vlm_lm"}
    decoder.logits(arena, embeddings(1, 1, manifest.reasoner.hidden))
    assert gpu.cuda.trace[-2:] == ["fetch", "synchronize"]
    assert gpu.cuda.trace.count("synchronize") == 1


def test_a_clip_goes_from_pixels_to_memory_without_the_host(
    gpu: Machine, built: Path, on_cpu: EnginePack
) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 90, 160, 3), np.uint8)
    config = CompressionConfig(step_tokens=32)

    def compressed(pack: EnginePack) -> tuple[np.ndarray, np.ndarray]:
        encoder = FrameEncoder(pack)
        clip = Compressor(pack, config).begin([encoder.encode(f).features for f in frames], 0, 1)
        while not clip.step():
            pass
        return clip.result.short_term, clip.result.global_memory

    expected = compressed(on_cpu)
    pack = open_pack(built, config=GPU, verify_hashes=False)
    for found, values in zip(compressed(pack), expected, strict=True):
        assert close(found, values)
    trace = gpu.cuda.trace
    last = max(i for i, what in enumerate(trace) if what == "run mem_lm")
    assert trace.count("run mem_vit") == 3
    assert trace.count("run mem_lm") > 1
    # The engines wait for each other on the device: nothing comes back before the last of them.
    assert not {"fetch", "synchronize"} & set(trace[:last])
    assert "wait" in trace[trace.index("run mem_vit") : trace.index("run mem_proj")]
    # Of one lane, whose stream keeps its order without.
    assert "wait" not in trace[trace.index("run mem_proj") : trace.index("run mem_lm")]
    assert {"fetch", "synchronize"} <= set(trace[last:])
    pack.close()


def test_sound_goes_from_the_encoder_to_the_decoder_without_the_host(
    gpu: Machine, built: Path, on_cpu: EnginePack
) -> None:
    samples = embeddings(4, 1, 16_000)[0]
    expected = AudioModel(on_cpu, RecognitionConfig()).transcribe(samples)
    pack = open_pack(built, config=GPU, verify_hashes=False)
    model = AudioModel(pack, RecognitionConfig())
    model.transcribe(samples)  # which also fills the prefix
    gpu.cuda.trace.clear()
    assert model.transcribe(samples) == expected
    trace = gpu.cuda.trace
    between = trace[trace.index("run aud_enc") : trace.index("run aud_lm")]
    assert not {"fetch", "synchronize", "wait"} & set(between)
    pack.close()


def test_a_picture_and_memory_go_to_the_reasoner_without_the_host(
    gpu: Machine, built: Path, on_cpu: EnginePack, manifest: Manifest
) -> None:
    spec = manifest.reasoner
    rng = np.random.default_rng(6)
    tiles = rng.integers(0, 256, (3, spec.pixels, spec.pixels, 3), np.uint8)
    memory = embeddings(7, 5, manifest.memory.hidden)

    def answered(pack: EnginePack) -> np.ndarray:
        see = lambda some: pack.engine("vlm_vit").run({"tiles": some})["embeds"]  # noqa: E731
        assembly = PromptAssembly(
            head=pack.table("vlm_embed").rows([5, 6]),
            memory=[pack.engine("mem_to_vlm").run({"memory": memory})["embeds"]],
            picture=Picture(tiles, ScaledPicture(0, 0, 1, 2)),
            tail=pack.table("vlm_embed").rows([7]),
            counts=PromptCounts(3, 5, 0, 3),
            encode_tiles=see,
            separators=pack.table("vlm_separators").rows([0, 1]),
            tiles_per_step=2,
        )
        while not assembly.step():
            pass
        prompt = assembly.prompt()
        decoder = pack.decoder("vlm_lm")
        arena = decoder.new_arena(len(prompt.embeds))
        logits = np.empty(0)
        for first in range(0, len(prompt.embeds), 64):
            block = prompt.embeds[first : first + 64]
            last = first + len(block) == len(prompt.embeds)
            logits = decoder.logits(arena, block, rows=None if last else np.zeros(0, np.int64))
        return logits

    expected = answered(on_cpu)
    pack = open_pack(built, config=GPU, verify_hashes=False)
    assert close(answered(pack), expected)
    trace = gpu.cuda.trace
    assert trace.count("run vlm_vit") == 2
    assert trace.count("run vlm_lm") > 1
    last = max(i for i, what in enumerate(trace) if what == "run vlm_lm")
    assert not {"fetch", "synchronize"} & set(trace[:last])
    pack.close()


def test_runs_of_a_session_are_one_at_a_time(gpu: Machine, manifest: Manifest) -> None:
    engine, decoder = gpu.engine("mem_to_vlm"), gpu.decoder("mem_lm")
    held = []

    def others_may_run(session: Any) -> None:
        lock = gpu.lanes.lane_of(session.name).lock
        with ThreadPoolExecutor(1) as other:
            held.append(not other.submit(lock.acquire, blocking=False).result())

    gpu.ort.during_run = others_may_run
    x = embeddings(0, 2, manifest.memory.hidden)
    engine.run({"memory": x})
    decoder.hidden(decoder.new_arena(8), x)
    assert held == [True, True]


def test_uploads_under_way_are_few(gpu: Machine, manifest: Manifest) -> None:
    engine = gpu.engine("mem_to_vlm")
    given = [embeddings(i, 3, manifest.memory.hidden) for i in range(12)]
    found = [engine.run({"memory": x})["embeds"] for x in given]
    assert len(gpu.cuda.pinned) == 4
    for x, values in zip(given, found, strict=True):
        assert np.array_equal(values, engine.run({"memory": x})["embeds"])


def test_a_prompt_is_given_in_blocks_over_the_same_pinned_memory_without_a_wait(
    gpu: Machine, manifest: Manifest
) -> None:
    decoder = gpu.decoder("vlm_lm")
    nothing = np.zeros(0, np.int64)
    pinned: list[set[int]] = []
    for _ in range(3):
        arena = decoder.new_arena(64)
        waited = gpu.cuda.synchronizations
        for block in range(4):
            x = embeddings(block, 8, manifest.reasoner.hidden)
            decoder.logits(arena, x, rows=nothing, plora_rows=np.array([1]))
        assert gpu.cuda.synchronizations == waited
        decoder.logits(arena, embeddings(9, 1, manifest.reasoner.hidden))
        pinned.append(set(gpu.cuda.pinned))
    # A block for each run that may be under way, whatever the number of its inputs.
    assert pinned[0] == pinned[1] == pinned[2] and len(pinned[0]) == 4


def test_frames_of_any_size_go_over_few_pinned_blocks(gpu: Machine, manifest: Manifest) -> None:
    engine = gpu.engine("mem_to_vlm")
    rng = np.random.default_rng(3)
    for size in (int(n) for n in rng.integers(1, 200, 60)):
        x = embeddings(size, size, manifest.memory.hidden)
        if size % 3:
            np.asarray(engine.run({"memory": x})["embeds"])  # read, so that the device was there
        else:
            engine.run({"memory": x})
        assert len(gpu.cuda.pinned) <= 4
    most = 256 * x.itemsize * manifest.memory.hidden
    assert all(len(block) <= most for block in gpu.cuda.pinned.values())


def test_engines_of_a_pack_share_a_stream_per_lane_until_it_is_closed(
    gpu: Machine, built: Path, manifest: Manifest
) -> None:
    config = dataclasses.replace(GPU, keep_alive_ms=10_000)
    pack = open_pack(built, config=config, verify_hashes=False)
    before, others = len(gpu.cuda.queues), set(threading.enumerate())
    for name in manifest.engines:
        pack.decoder(name) if name in DECODER_NAMES else pack.engine(name)
    # See, listen, remember and reason; one that results are read on, and one to keep it awake.
    assert len(gpu.cuda.queues) - before == 4 + 1 + 1
    (keeper,) = set(threading.enumerate()) - others
    pack.close()
    assert not keeper.is_alive()
    with pytest.raises(EngineError, match="is closed"):
        pack.engine("mem_vit")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"available": ("CPUExecutionProvider",)}, SetupError, "pip install onnxruntime-gpu"),
        ({"no_driver": True}, EngineError, "could not start its CUDAExecutionProvider and took"),
        ({"no_kernel": {"MatMulNBits"}}, EngineError, "its MatMulNBits would run on the CPU"),
    ],
)
def test_falling_back_to_the_cpu_is_an_error(
    gpu: Machine, changes: dict[str, object], error: type[Exception], said: str
) -> None:
    for name, value in changes.items():
        setattr(gpu.ort, name, value)
    with pytest.raises(error, match=said):
        gpu.engine("mem_to_vlm")


def test_a_pack_for_the_cpu_is_refused_with_what_to_do(gpu: Machine, cpu_pack: Path) -> None:
    pack = open_pack(cpu_pack, config=GPU, verify_hashes=False)
    with pytest.raises(PackError, match=r"in float32.*Build the pack with --device cuda"):
        pack.decoder("mem_lm")
    pack.close()


def test_without_cudas_package_the_gpu_is_refused_and_the_cpu_is_not(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    for part in PARTS:
        monkeypatch.delitem(sys.modules, f"omnilive.backends.{part}", raising=False)
    pack = open_pack(built, config=GPU, verify_hashes=False)
    with pytest.raises(SetupError, match="pip install onnxruntime-gpu cuda-python"):
        pack.engine("mem_to_vlm")
    pack.close()


@pytest.mark.parametrize("device", ["gpu", "", "cuda:1"])
def test_another_device_is_named(device: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.device"):
        EngineConfig(device=device).validate()


FAULTS: dict[str, tuple[str, str, str, str]] = {
    "a session without our stream": (
        "ort_cuda",
        '            "user_compute_stream": str(lane.stream.handle),\n',
        "",
        "no stream of ours",
    ),
    "a run that waits for the device": (
        "ort_cuda",
        'add_run_config_entry(NO_SYNCHRONIZATION, "1")',
        'add_run_config_entry(NO_SYNCHRONIZATION, "0")',
        "waits",
    ),
    "a run without its options": (
        "ort_cuda",
        "run_with_iobinding(binding, self._options)",
        "run_with_iobinding(binding)",
        "waits",
    ),
    "an output that is read before it is written": (
        "cuda_lanes",
        "(*after, *(r.ticket for r in read))",
        "after",
        "differs",
    ),
    "memory that is reused before its last reader": (
        "ort_cuda",
        "after=read_last, ",
        "",
        "differs",
    ),
    "readers nobody knows of": (
        "cuda_lanes",
        "                    lease.reads[self] = ticket\n",
        "                    pass\n",
        "differs",
    ),
    "memory that is given back at once": (
        "ort_cuda",
        "        self._retired.append((value, reads))\n",
        "        pass\n",
        "differs",
    ),
    "a pinned block that is filled before it was read": (
        "staging",
        "enumerate(self._blocks) if read.reached]",
        "enumerate(self._blocks)]",
        "differs",
    ),
    "a result that is not waited for": (
        "cuda",
        "            self._copy(values.ctypes.data, source, values.nbytes, kind)\n"
        "        self.synchronize()\n",
        "            self._copy(values.ctypes.data, source, values.nbytes, kind)\n",
        "differs",
    ),
    "an upload from memory that is not pinned": (
        "cuda",
        "        self._copy(target, block.address + first, count, kind)\n",
        "        self._copy(target, block.address + (1 << 40), count, kind)\n",
        "pageable",
    ),
    "an input that onnxruntime copies": (
        "ort_cuda_decoder",
        "            result = run(arena.binding, feeds, len(block.rows))\n",
        "            arena.binding.bind_cpu_input(LAST_POSITION, feeds.pop(LAST_POSITION))\n"
        "            result = run(arena.binding, feeds, len(block.rows))\n",
        "copied to the device at every run",
    ),
    "an arena that is written elsewhere": (
        "ort_cuda_decoder",
        "            self.binding.bind_output(present, *place)\n",
        "            self.binding.bind_output(present, DEVICE, DEVICE_ID)\n",
        "copied at every run",
    ),
    "an output on the host": (
        "ort_cuda",
        "                self._binding.bind_output(name, DEVICE, DEVICE_ID)\n",
        '                self._binding.bind_output(name, "cpu")\n',
        "copied to the host",
    ),
    "a position that is read too late": (
        "ort_cuda_decoder",
        "            arena.total[...] = total\n",
        "",
        "differs|INVALID_ARGUMENT|failed to run|Non-zero|total_sequence",
    ),
}


def use(found: Machine, on_cpu: EnginePack, manifest: Manifest) -> None:
    """Two outputs of one lane's engine, the first given up while another lane is still to read it.

    Rows are as wide on both lanes, in this checkpoint.
    """
    given = [embeddings(seed, 8, manifest.memory.hidden) for seed in (1, 2)]
    text = embeddings(3, 3, manifest.memory.hidden)
    engine, lm = found.engine("mem_to_vlm"), found.decoder("mem_lm")
    reference, decoder = on_cpu.engine("mem_to_vlm"), on_cpu.decoder("mem_lm")
    mapped = [reference.run({"memory": values})["embeds"] for values in given]
    kept = decoder.new_arena(64)
    blocks = [np.concatenate([text, mapped[0][:4]]), mapped[0][4:6]]
    expected = (mapped[1], *(decoder.hidden(kept, block) for block in blocks))
    # What is read first is computed first, as far as the fences between streams allow.
    for order in ((0, 1, 2), (2, 1, 0)):
        # Freeing an arena waits for the device, and would hide what is missing: it is kept.
        arena = lm.new_arena(64)
        values = given_up(found, engine, lm, arena, given, text)
        for i in order:
            assert close(values[i], expected[i]), "differs"


def given_up(
    found: Machine, engine: Any, lm: Any, arena: Any, given: list[np.ndarray], text: np.ndarray
) -> tuple[Any, Any, Any]:
    """What is left of two outputs, still to be read."""
    found.cuda.trace.clear()
    first = engine.run({"memory": given[0]})["embeds"]
    hidden = lm.hidden(arena, np.concatenate([text, first[:4]]))
    more = lm.hidden(arena, first[4:6])
    del first
    gc.collect()
    second = engine.run({"memory": given[1]})["embeds"]
    assert "synchronize" not in found.cuda.trace, "waits"
    return second, hidden, more


def test_outputs_given_up_and_joined_are_read_rightly(
    gpu: Machine, on_cpu: EnginePack, manifest: Manifest
) -> None:
    use(gpu, on_cpu, manifest)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(
    fault: str,
    built: Path,
    manifest: Manifest,
    on_cpu: EnginePack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    *place, reason = FAULTS[fault]
    with (
        pytest.raises((ContractError, AssertionError, EngineError), match=reason),
        machine(built, manifest, monkeypatch, tuple(place)) as found,
    ):
        use(found, on_cpu, manifest)
