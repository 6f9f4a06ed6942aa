"""Runs each engine and its reference on the same inputs; never judges what it finds.

One function per engine. A reference lives only as long as its function: the judge of a 7B pack
holds one model at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from omnilive.engine.interface import F32, I64, Decoder, KvArena
from omnilive.engine.pack import EnginePack
from omnilive_export.models.reasoner import TOWER_FOLDER, first_existing
from omnilive_export.reading.checkpoint import CheckpointFolders
from omnilive_export.verify import inputs
from omnilive_export.verify.measure import Comparison
from omnilive_export.verify.reference import References

SEED = 20_250
# A prompt is also fed in these blocks (the last takes the rest): one token, few, many.
BLOCKS = (1, 2, 13)


@dataclass(frozen=True)
class Bench:
    """What a comparison needs: the pack, the references, and the checkpoint's folders."""

    pack: EnginePack
    references: References
    folders: CheckpointFolders

    def pictures(self) -> Any:
        """The reference's picture encoder; a merged folder may lack the tower's config."""
        reasoner, base = self.folder("reasoner"), self.folders.reasoner_fallback
        tower = first_existing(reasoner, base, f"{TOWER_FOLDER}/config.json").parent
        return self.references.internlm2_plora.PictureEncoder(reasoner, tower)

    def folder(self, model: str) -> Path:
        """The folder of ``memory``, ``audio`` or ``reasoner``, of which the pack has engines."""
        found: Path | None = getattr(self.folders, model)
        if found is None:
            raise ValueError(f"the checkpoint has no {model}")
        return found

    def rng(self) -> np.random.Generator:
        """A generator that starts the same for every engine, so that each can be run alone."""
        return np.random.default_rng(SEED)


def mem_vit(bench: Bench) -> Iterator[Comparison]:
    """Frames → mixed features and CLS."""
    reference = bench.references.ground_qwen.FrameEncoder(bench.folder("memory"))
    pixels, rng = bench.pack.manifest.memory.pixels, bench.rng()
    for case, frames in (
        ("3 noise frames", inputs.noise_frames(rng, 3, pixels)),
        ("2 structured frames", inputs.structured_frames(rng, 2, pixels)),
    ):
        actual = bench.pack.engine("mem_vit").run({"frames": frames})
        features, cls = reference(frames)
        yield Comparison(f"{case}, features", actual["features"], features)
        yield Comparison(f"{case}, CLS", actual["cls"], cls)


def mem_proj(bench: Bench) -> Iterator[Comparison]:
    """Features of a clip → clip tokens."""
    module = bench.references.ground_qwen
    encoder = module.FrameEncoder(bench.folder("memory"))
    reference = module.PoolProjector(bench.folder("memory"))
    pixels, rng = bench.pack.manifest.memory.pixels, bench.rng()
    for frames in (1, 5):
        features, _ = encoder(inputs.structured_frames(rng, frames, pixels))
        actual = bench.pack.engine("mem_proj").run({"features": features})["clip_embeds"]
        yield Comparison(f"clip of {frames} frames", actual, reference(features))
    noise = inputs.embeddings(rng, features.shape[1] * 2, features[0]).reshape(
        2, *features.shape[1:]
    )
    actual = bench.pack.engine("mem_proj").run({"features": noise})["clip_embeds"]
    yield Comparison("random features of 2 frames", actual, reference(noise))


def mem_lm(bench: Bench) -> Iterator[Comparison]:
    """Embeddings → hidden states, whole and in blocks."""
    reference = bench.references.ground_qwen.MemoryLanguage(bench.folder("memory"))
    decoder, rng = bench.pack.decoder("mem_lm"), bench.rng()
    ids = inputs.token_ids(rng, 60, bench.pack.manifest.memory.vocab)
    table = bench.pack.table("mem_embed").rows(ids)
    expected = reference.hidden(reference.embed(ids))
    yield Comparison("60 tokens", decoder.hidden(decoder.new_arena(len(table)), table), expected)
    blocks = _blocks(lambda arena, a, b: decoder.hidden(arena, table[a:b]), decoder, len(ids))
    yield Comparison("60 tokens in blocks", blocks, expected)
    noise = inputs.embeddings(rng, 150, table)
    actual = decoder.hidden(decoder.new_arena(len(noise)), noise)
    yield Comparison("150 random embeddings", actual, reference.hidden(noise))


def aud_enc(bench: Bench) -> Iterator[Comparison]:
    """PCM → audio embeddings, against the reference padded to 30 s."""
    reference = bench.references.qwen2_audio.AudioEncoder(bench.folder("audio"))
    spec, rng = bench.pack.manifest.audio, bench.rng()
    sounds = {
        f"{samples} samples": inputs.speech_like(rng, samples)
        for samples in inputs.audio_lengths(spec.min_samples, spec.max_samples, spec.hop)
    }
    sounds["tone in digital silence"] = inputs.tone_in_silence()
    for case, pcm in sounds.items():
        actual = bench.pack.engine("aud_enc").run({"pcm": pcm[None]})["embeds"][0]
        yield Comparison(case, actual, reference(pcm))


def aud_lm(bench: Bench) -> Iterator[Comparison]:
    """Embeddings → logits, whole and in blocks."""
    reference = bench.references.qwen2_audio.AudioLanguage(bench.folder("audio"))
    decoder, rng = bench.pack.decoder("aud_lm"), bench.rng()
    ids = inputs.token_ids(rng, 60, bench.pack.manifest.audio.vocab)
    table = bench.pack.table("aud_embed").rows(ids)
    yield from _logits(decoder, "60 tokens", table, reference.logits(reference.embed(ids)))
    noise = inputs.embeddings(rng, 100, table)
    yield from _logits(decoder, "100 random embeddings", noise, reference.logits(noise))


def vlm_vit(bench: Bench) -> Iterator[Comparison]:
    """Tiles → image embeddings; and the separators, which the pack stores projected."""
    reference = bench.pictures()
    pixels, rng = bench.pack.manifest.reasoner.pixels, bench.rng()
    for case, tiles in (
        ("2 noise tiles", inputs.noise_frames(rng, 2, pixels)),
        ("3 structured tiles", inputs.structured_frames(rng, 3, pixels)),
    ):
        actual = bench.pack.engine("vlm_vit").run({"tiles": tiles})["embeds"]
        yield Comparison(case, actual, reference.tiles(tiles))
    separators = np.stack([reference.separators.glb, reference.separators.sub])
    stored = bench.pack.table("vlm_separators").rows([0, 1])
    yield Comparison("separators", stored, reference.projector(separators))


def vlm_lm(bench: Bench) -> Iterator[Comparison]:
    """Embeddings → logits with Partial-LoRA on no, some and all rows, whole and in blocks."""
    reference = bench.references.internlm2_plora.load_language(bench.folder("reasoner"))
    decoder, rng = bench.pack.decoder("vlm_lm"), bench.rng()
    ids = inputs.token_ids(rng, 60, bench.pack.manifest.reasoner.vocab)
    table, source = bench.pack.table("vlm_embed").rows(ids), reference.embed(ids)
    rows = np.arange(len(ids))
    for case, plora in (
        ("no", rows[:0]),
        ("some", np.sort(rng.choice(rows, 25, replace=False))),
        ("all", rows),
    ):
        yield from _logits(
            decoder,
            f"60 tokens, Partial-LoRA on {case} rows",
            table,
            reference.logits(source, plora.tolist()),
            plora,
        )


def mem_to_vlm(bench: Bench) -> Iterator[Comparison]:
    """Memory rows → reasoner embeddings."""
    reference = bench.references.internlm2_plora.Projector(
        bench.folder("reasoner"), "video_mem_proj"
    )
    rng, width = bench.rng(), bench.pack.manifest.engines["mem_to_vlm"].inputs[0].shape[-1]
    assert isinstance(width, int)
    for rows in (1, 65):
        memory = rng.standard_normal((rows, width)).astype(np.float32)
        actual = bench.pack.engine("mem_to_vlm").run({"memory": memory})["embeds"]
        yield Comparison(f"{rows} memory rows", actual, reference(memory))


def _blocks(append: Callable[[KvArena, int, int], F32], decoder: Decoder, length: int) -> F32:
    """Outputs of a prompt appended block by block to one arena."""
    arena = decoder.new_arena(length)
    cuts = [0, *np.cumsum(BLOCKS), length]
    return np.concatenate([append(arena, a, b) for a, b in pairwise(cuts)])


def _logits(
    decoder: Decoder, case: str, embeds: F32, expected: F32, plora: I64 | None = None
) -> Iterator[Comparison]:
    """A prompt's logits at every position, whole and in blocks; the last position alone too."""

    def append(arena: KvArena, start: int, stop: int) -> F32:
        rows = np.arange(stop - start)
        return decoder.logits(arena, embeds[start:stop], rows=rows, plora_rows=within(start, stop))

    def within(start: int, stop: int) -> I64 | None:
        return None if plora is None else plora[(plora >= start) & (plora < stop)] - start

    length = len(embeds)
    whole = append(decoder.new_arena(length), 0, length)
    yield Comparison(case, whole, expected, logits=True)
    yield Comparison(f"{case}, in blocks", _blocks(append, decoder, length), expected, logits=True)
    last = decoder.logits(decoder.new_arena(length), embeds, plora_rows=plora)
    yield Comparison(f"{case}, last position", last, expected[-1:], logits=True)
