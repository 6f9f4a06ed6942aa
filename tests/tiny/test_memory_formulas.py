"""The runtime's memory stage equals the formulas of spec §2.2 to §2.5, computed from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from memory_steps import compress, integrate

from omnilive.engine.pack import EnginePack
from omnilive.memory.clip import Clip, Keyframe
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import CompressionConfig, LongTermConfig, RetrievalConfig
from omnilive.memory.grounding import Grounding
from omnilive.memory.long_term import LongTermMemory
from omnilive_export.verify.inputs import structured_frames
from omnilive_export.verify.measure import FP32_RELATIVE_ERROR, relative_error
from omnilive_export.verify.reference import References

pytestmark = pytest.mark.tiny

F32 = npt.NDArray[np.float32]
FRAMES_PER_CLIP = (3, 5, 4)
SECOND_US = 1_000_000


class Reference:
    """The compressor's reference over the clips of one seeded video."""

    def __init__(self, references: References, checkpoint: Path, pack: EnginePack) -> None:
        self.formulas = references.ground_qwen
        folder = checkpoint / "memory"
        self.language = self.formulas.MemoryLanguage(folder)
        self.tokenize = pack.tokenizer("memory").encode
        projector = self.formulas.PoolProjector(folder)
        encoder = self.formulas.FrameEncoder(folder)
        rng = np.random.default_rng(11)
        pixels = pack.manifest.memory.pixels
        self.features: list[F32] = []
        self.clips: list[Any] = []
        start = 0
        for frames in FRAMES_PER_CLIP:
            features, _ = encoder(structured_frames(rng, frames, pixels))
            self.features.append(features)
            self.clips.append(
                self.formulas.compress(
                    self.language, projector, self.tokenize, features, start, start + frames
                )
            )
            start += frames


@pytest.fixture(scope="module")
def reference(references: References, checkpoint: Path, fp32_pack: EnginePack) -> Reference:
    return Reference(references, checkpoint, fp32_pack)


def clips_of(memories: Sequence[Any]) -> list[Clip]:
    clips: list[Clip] = []
    start = 0
    for index, (memory, frames) in enumerate(zip(memories, FRAMES_PER_CLIP, strict=False)):
        pts = tuple(range(start, start + frames * SECOND_US, SECOND_US))
        end = start + frames * SECOND_US
        keyframes = tuple(Keyframe(str(p), 64, 36) for p in pts)
        clips.append(
            Clip(index, start, end, pts, keyframes, memory.short_term, memory.global_memory)
        )
        start = end
    return clips


@pytest.mark.parametrize("step_tokens", [7, 4096])
def test_compressed_clips_equal_the_formula(
    fp32_pack: EnginePack, reference: Reference, step_tokens: int
) -> None:
    compressor = Compressor(fp32_pack, CompressionConfig(step_tokens=step_tokens))
    start = 0
    for features, expected in zip(reference.features, reference.clips, strict=True):
        end = start + len(features) * SECOND_US
        clip = compress(compressor, list(features), start, end)
        assert relative_error(clip.short_term, expected.short_term) <= FP32_RELATIVE_ERROR
        assert relative_error(clip.global_memory, expected.global_memory) <= FP32_RELATIVE_ERROR
        start = end


def test_long_term_memory_equals_the_formula_after_every_clip(
    fp32_pack: EnginePack, reference: Reference
) -> None:
    memory = LongTermMemory(fp32_pack, LongTermConfig(step_tokens=9))
    clips = clips_of(reference.clips)
    # Forwards as clips close, then back to an earlier snapshot as a question may ask for it.
    for count in (1, 2, 3, 2):
        expected = reference.formulas.integrate(reference.language, reference.clips[:count])
        actual = integrate(memory, clips[:count])
        assert relative_error(actual, expected) <= FP32_RELATIVE_ERROR


def test_question_features_and_scores_equal_the_formula(
    fp32_pack: EnginePack, reference: Reference
) -> None:
    grounding = Grounding(fp32_pack, RetrievalConfig(step_tokens=5))
    formulas, language = reference.formulas, reference.language
    long_term = formulas.integrate(language, reference.clips)
    rows = np.stack([clip.global_memory for clip in reference.clips])
    for question in ("What is the red thing?", "Who came in?", "红色的是什么"):
        expected = formulas.question_feature(language, reference.tokenize, long_term, question)
        actual = grounding.question_feature(long_term, question)
        assert relative_error(actual, expected) <= FP32_RELATIVE_ERROR
        scores = grounding.score(actual, rows)
        np.testing.assert_allclose(scores, formulas.cosine(expected, rows), atol=1e-5)
