"""Writes a complete engine pack of toy graphs, small enough to build inside a unit test.

The graphs have the contract's inputs and outputs and a real one-layer attention, but the family's
dimensions and layer stacks are left out: only what ``omnilive.engine`` itself does is tested.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import sentencepiece
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

import fakes_graphs as graphs
from fakes_graphs import (
    CLS,
    FEATURES,
    GRID,
    HEAD_DIM,
    KV_HEADS,
    PIXELS,
    POSITIONS,
    VOCAB,
    WIDTH,
)
from omnilive.engine.manifest import (
    MANIFEST_NAME,
    AudioSpec,
    EngineInfo,
    FileRecord,
    KvInfo,
    Manifest,
    MemorySpec,
    ReasonerSpec,
    TableInfo,
    TensorInfo,
    TokenizerInfo,
    to_json,
)

CORPUS = [
    "Question: Here are some frames of a video. What is the colour of the red box?",
    "Is the following string an instruction? Yes No Yes. No.",
    "The answer is blue, 3.14 and green. user assistant system",
    "视频里有什么？盒子是红色的。",
] * 30
CONTROL_PIECES = ["[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]"]
BPE_CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def write_pack(
    folder: Path, *, edit: Callable[[Manifest], Manifest] = lambda manifest: manifest
) -> Manifest:
    """Write the pack into ``folder``; ``edit`` may change the manifest before it is written."""
    rng = np.random.default_rng(0)
    engines = {
        "mem_vit": _write_engine(folder, "mem_vit", *graphs.vit(rng, "frames", with_cls=True)),
        "mem_proj": _write_engine(
            folder, "mem_proj", *graphs.matmul(rng, "features", "clip_embeds")
        ),
        "mem_lm": _write_engine(folder, "mem_lm", *graphs.decoder(rng, "hidden"), kv=True),
        "aud_enc": _write_engine(folder, "aud_enc", *graphs.audio_encoder(rng)),
        "aud_lm": _write_engine(folder, "aud_lm", *graphs.decoder(rng, "logits"), kv=True),
        "vlm_vit": _write_engine(folder, "vlm_vit", *graphs.vit(rng, "tiles", with_cls=False)),
        "vlm_lm": _write_engine(
            folder, "vlm_lm", *graphs.decoder(rng, "logits", plora=True), kv=True
        ),
        "mem_to_vlm": _write_engine(folder, "mem_to_vlm", *graphs.matmul(rng, "memory", "embeds")),
    }
    tables = {name: _write_table(folder, rng, name, VOCAB) for name in ("mem_embed", "aud_embed")}
    tables["vlm_embed"] = _write_int8_table(folder, rng, "vlm_embed", VOCAB)
    tables["vlm_separators"] = _write_table(folder, rng, "vlm_separators", 2)
    bpe = bpe_tokenizer_json()
    markers = sentencepiece_model()
    manifest = Manifest(
        name="toy",
        precision="fp32",
        trained=False,
        builder_version="0",
        memory=MemorySpec(PIXELS, GRID, FEATURES, CLS, 4, WIDTH, VOCAB, POSITIONS),
        audio=AudioSpec(1600, 400, 160, WIDTH, VOCAB, POSITIONS, (2,)),
        reasoner=ReasonerSpec(PIXELS, GRID, WIDTH, VOCAB, POSITIONS, 1, (2,), 16),
        engines=engines,
        tables=tables,
        tokenizers={
            "memory": _write_tokenizer(folder, "memory", "bpe", "tokenizer.json", bpe),
            "audio": _write_tokenizer(folder, "audio", "bpe", "tokenizer.json", bpe),
            "reasoner": _write_tokenizer(
                folder, "reasoner", "sentencepiece", "tokenizer.model", markers
            ),
        },
        source={},
        fingerprint={},
    )
    manifest = edit(manifest)
    (folder / MANIFEST_NAME).write_text(to_json(manifest), encoding="utf-8")
    return manifest


def with_engine(manifest: Manifest, name: str, **changes: object) -> Manifest:
    """``manifest`` with fields of one engine's record replaced."""
    engine = dataclasses.replace(manifest.engines[name], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(manifest, engines={**manifest.engines, name: engine})


@functools.cache
def bpe_tokenizer_json() -> bytes:
    """A byte-level BPE like the memory and audio tokenizers (spec §1.5)."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=350,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens(BPE_CONTROL)
    return tokenizer.to_str().encode()


@functools.cache
def sentencepiece_model() -> bytes:
    """A SentencePiece BPE like the reasoner's (spec §1.5): byte fallback, turn markers."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=out,
        vocab_size=360,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        user_defined_symbols=["\n", "——", *CONTROL_PIECES],
        minloglevel=2,
    )
    return out.getvalue()


def _record(folder: Path, path: str, data: bytes) -> FileRecord:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return FileRecord(path, len(data), hashlib.sha256(data).hexdigest())


def _write_engine(
    folder: Path,
    name: str,
    model: onnx.ModelProto,
    inputs: tuple[TensorInfo, ...],
    outputs: tuple[TensorInfo, ...],
    kv: bool = False,
) -> EngineInfo:
    path = f"{name}/model.onnx"
    return EngineInfo(
        name=name,
        backend="ort",
        model=path,
        files=(_record(folder, path, model.SerializeToString()),),
        precision={"blocks": "fp32"},
        inputs=inputs,
        outputs=outputs,
        kv=KvInfo(1, KV_HEADS, HEAD_DIM, "float32", POSITIONS) if kv else None,
        profile={},
        build_seconds=0.0,
    )


def _write_table(folder: Path, rng: np.random.Generator, name: str, rows: int) -> TableInfo:
    data = rng.standard_normal((rows, WIDTH)).astype("<f4")
    return TableInfo(
        name, _record(folder, f"tables/{name}.bin", data.tobytes()), "float32", rows, WIDTH
    )


def _write_int8_table(folder: Path, rng: np.random.Generator, name: str, rows: int) -> TableInfo:
    data = rng.integers(-127, 128, (rows, WIDTH), dtype=np.int8)
    scales = rng.uniform(0.001, 0.02, rows).astype("<f4")
    return TableInfo(
        name,
        _record(folder, f"tables/{name}.bin", data.tobytes()),
        "int8",
        rows,
        WIDTH,
        _record(folder, f"tables/{name}.scales.bin", scales.tobytes()),
    )


def _write_tokenizer(folder: Path, name: str, kind: str, file: str, data: bytes) -> TokenizerInfo:
    return TokenizerInfo(name, kind, _record(folder, f"tokenizers/{name}/{file}", data))
