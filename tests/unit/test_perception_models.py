"""The audio model's prompt, bounds and reuse, and the frame encoder, on engines that record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from omnilive.errors import ConfigError, EngineError
from omnilive.perception.audio_model import AudioModel, audio_tokens
from omnilive.perception.config import RecognitionConfig
from omnilive.perception.frame_encoder import FrameEncoder

EOS = 3
VOCAB = 200
BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + (
    "<|im_start|>user\nAudio 1: <|audio_bos|>"
)


def after(instruction: str) -> str:
    return f"<|audio_eos|>\n{instruction}<|im_end|>\n<|im_start|>assistant\n"


@dataclass
class Arena:
    capacity: int
    tokens: list[np.ndarray] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.tokens)

    def truncate(self, length: int) -> None:
        assert length <= self.length
        self.tokens = self.tokens[:length]


class Lm:
    """Says a script; remembers every prompt it was asked with."""

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.prompts: list[list[float]] = []
        self.appended = 0
        self.blocks: list[int] = []
        self.arenas: list[Arena] = []

    def new_arena(self, capacity: int | None = None) -> Arena:
        assert capacity is not None
        self.arenas.append(Arena(capacity))
        return self.arenas[-1]

    def logits(
        self, arena: Arena, embeds: np.ndarray, *, rows: np.ndarray | None = None
    ) -> np.ndarray:
        assert arena.length + len(embeds) <= arena.capacity
        arena.tokens += list(embeds)
        self.appended += len(embeds)
        self.blocks.append(len(embeds))
        if rows is not None:
            assert not len(rows)
            return np.zeros((0, VOCAB), np.float32)
        if len(embeds) > 1:
            self.said = 0
            self.prompts.append([float(t[0]) for t in arena.tokens])
        out = np.zeros((1, VOCAB), np.float32)
        out[0, self.script[self.said] if self.said < len(self.script) else EOS] = 1.0
        self.said += 1
        return out


class Pack:
    """One token per character, embedded as its code; audio is embedded as -1."""

    def __init__(self, script: str | list[int]) -> None:
        ids = [ord(c) for c in script] if isinstance(script, str) else script
        self.lm = Lm(ids)
        self.pcm: list[np.ndarray] = []
        self.manifest = SimpleNamespace(
            audio=SimpleNamespace(
                max_samples=480_000,
                min_samples=321,
                hop=160,
                max_positions=2_048,
                eos_ids=(EOS,),
            ),
            memory=SimpleNamespace(pixels=16),
        )
        self.frames: list[np.ndarray] = []

    def tokenizer(self, name: str) -> Any:
        assert name == "audio"

        def encode(text: str, *, allow_special: bool = False) -> list[int]:
            assert allow_special
            return [ord(c) for c in text]

        return SimpleNamespace(encode=encode, decode=lambda ids: "".join(chr(i) for i in ids))

    def table(self, name: str) -> Any:
        assert name == "aud_embed"
        return SimpleNamespace(rows=lambda ids: np.array(ids, np.float32)[:, None])

    def decoder(self, name: str) -> Lm:
        assert name == "aud_lm"
        return self.lm

    def engine(self, name: str) -> Any:
        return SimpleNamespace(run=self.hear if name == "aud_enc" else self.see)

    def hear(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        pcm = feeds["pcm"]
        assert pcm.dtype == np.float32 and pcm.shape[0] == 1
        self.pcm.append(pcm[0])
        return {"embeds": -np.ones((1, audio_tokens(pcm.shape[1], 160), 1), np.float32)}

    def see(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.frames.append(feeds["frames"])
        return {"features": np.ones((1, 4, 8), np.float32), "cls": np.ones((1, 6), np.float32)}


def model(pack: Pack, config: RecognitionConfig | None = None) -> AudioModel:
    return AudioModel(pack, config or RecognitionConfig())  # type: ignore[arg-type]


def second(n: float = 1.0) -> np.ndarray:
    return np.full(round(16_000 * n), 0.1, np.float32)


def spelled(prompt: list[float]) -> str:
    return "".join("#" if t < 0 else chr(int(t)) for t in prompt)


def test_the_prompts_are_those_of_the_reference_with_the_audio_in_its_place() -> None:
    pack = Pack("hello")
    audio = model(pack)
    audio.transcribe(second())
    audio.classify(second(2))
    assert spelled(pack.lm.prompts[-2]) == BEFORE + "#" * 25 + after(
        "Detect the language and recognize the speech."
    )
    assert spelled(pack.lm.prompts[-1]) == BEFORE + "#" * 50 + after("Classify the audio.")


def test_an_answer_is_its_text_without_tags_and_its_counts() -> None:
    transcript = model(Pack("<|en|> what is it")).transcribe(second())
    assert (transcript.text, transcript.language) == ("what is it", "en")
    assert transcript.tokens == len("<|en|> what is it")
    assert transcript.prompt_tokens == len(BEFORE) + 25 + len(
        after("Detect the language and recognize the speech.")
    )


def test_the_kept_prefix_is_computed_once_and_changes_nothing() -> None:
    pack = Pack("yes")
    audio = model(pack)
    first = audio.transcribe(second())
    appended = pack.lm.appended
    assert audio.transcribe(second()) == first
    assert pack.lm.appended - appended == appended - len(BEFORE)
    assert pack.lm.prompts[-1] == pack.lm.prompts[-2]
    assert len(pack.lm.arenas) == 1


def test_a_model_that_never_stops_is_bounded_by_the_length_of_the_audio() -> None:
    endless = [ord("x")] * 1_000
    config = RecognitionConfig(max_tokens=100, max_tokens_per_s=12, base_tokens=16)
    assert model(Pack(endless), config).transcribe(second(1)).tokens == 28
    assert model(Pack(endless), config).transcribe(second(0.5)).tokens == 22
    assert model(Pack(endless), config).transcribe(second(20)).tokens == 100
    assert model(Pack(endless), config).classify(second(20)).tokens == 16


@pytest.mark.parametrize("step", [3, 40, 200])
def test_a_prompt_is_prefilled_in_pieces_and_the_words_are_the_same(step: int) -> None:
    pack, whole = Pack("what is it"), model(Pack("what is it")).transcribe(second(3))
    audio = model(pack, RecognitionConfig(step_tokens=step))
    assert audio.transcribe(second(3)) == whole
    prompt = whole.prompt_tokens - len(BEFORE)
    pieces = pack.lm.blocks[1 : 1 - (-prompt // step)]
    assert sum(pieces) == prompt and max(pieces) <= step


def test_every_step_says_what_it_ran() -> None:
    audio = model(Pack("yes"), RecognitionConfig(step_tokens=50))
    steps = list(audio.transcribing(second()))
    transcript = audio.transcribe(second())
    assert [s.samples for s in steps if s.samples] == [16_000]
    assert sum(s.prompt_tokens for s in steps) == transcript.prompt_tokens
    assert sum(s.tokens for s in steps) == transcript.tokens


def test_a_call_broken_off_after_any_step_leaves_the_next_one_right() -> None:
    expected = model(Pack("yes")).transcribe(second())
    audio = model(Pack("yes"), RecognitionConfig(step_tokens=30))
    for steps_taken in range(8):
        broken_off = audio.classifying(second(2))
        for _ in range(steps_taken):
            next(broken_off)
        broken_off.close()
        assert audio.transcribe(second()) == expected


def test_silence_needs_no_model() -> None:
    pack = Pack("Bell")
    empty = np.zeros(0, np.float32)
    assert model(pack).classify(empty).label == "silence"
    assert model(pack).transcribe(empty).text == ""
    assert pack.pcm == [] and pack.lm.prompts == []


def test_audio_shorter_than_the_engine_takes_is_padded_with_silence() -> None:
    pack = Pack("Bell")
    assert model(pack).classify(second()[:5]).label == "Bell"
    assert len(pack.pcm[0]) == 321
    np.testing.assert_array_equal(pack.pcm[0][:5], second()[:5])
    assert not pack.pcm[0][5:].any()


def test_the_longest_audio_fits_and_longer_audio_is_refused() -> None:
    pack = Pack([ord("x")] * 1_000)
    assert model(pack).transcribe(second(30)).tokens == 256
    with pytest.raises(EngineError, match="480001"):
        model(pack).transcribe(np.zeros(480_001, np.float32))


def test_an_answer_ends_where_the_positions_do() -> None:
    pack = Pack([ord("x")] * 1_000)
    prompt = len(BEFORE) + 25 + len(after("Detect the language and recognize the speech."))
    pack.manifest.audio.max_positions = prompt + 7
    assert model(pack).transcribe(second()).tokens == 7


@pytest.mark.parametrize(
    ("samples", "expected"), [(480_000, 750), (16_000, 25), (19_700, 31), (321, 1), (1_280, 2)]
)
def test_audio_tokens_follow_the_formula_of_the_encoder(samples: int, expected: int) -> None:
    assert audio_tokens(samples, 160) == expected


def test_a_frame_is_squashed_to_the_engines_square_and_encoded_alone() -> None:
    pack = Pack("")
    rgb = np.zeros((30, 40, 3), np.uint8)
    rgb[:, 20:] = 255
    features = FrameEncoder(pack).encode(rgb)  # type: ignore[arg-type]
    assert features.features.shape == (4, 8) and features.cls.shape == (6,)
    (frames,) = pack.frames
    assert frames.shape == (1, 16, 16, 3) and frames.dtype == np.uint8
    assert frames[0, :, :6].max() < 20 and frames[0, :, 10:].min() > 235


@pytest.mark.parametrize(
    "config",
    [
        RecognitionConfig(max_tokens=0),
        RecognitionConfig(max_label_tokens=0),
        RecognitionConfig(max_tokens_per_s=0.5),
        RecognitionConfig(base_tokens=0),
        RecognitionConfig(step_tokens=0),
    ],
)
def test_values_out_of_range_are_refused(config: RecognitionConfig) -> None:
    with pytest.raises(ConfigError, match="recognition"):
        config.validate()
