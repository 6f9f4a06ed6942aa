"""What a pack's manifest must say for this runtime to drive its engines.

Pure comparison of the manifest with itself: every engine, table and tokenizer is there and their
shapes agree with the model dimensions. It never opens a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import PurePosixPath

from omnilive.engine.kv_layout import ARENA_INPUTS
from omnilive.engine.manifest import (
    ENGINE_NAMES,
    TABLE_NAMES,
    TOKENIZER_NAMES,
    EngineInfo,
    Manifest,
    TensorInfo,
)
from omnilive.engine.tables import ITEM_BYTES, SCALE_BYTES, table_file_bytes

DECODER_NAMES = ("mem_lm", "aud_lm", "vlm_lm")
SEPARATOR_ROWS = 2
KV_DTYPES = ("float32", "float16")


def faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(where, what) of everything in ``manifest`` that this runtime cannot work with."""
    yield from _absent(manifest)
    yield from _size_faults(manifest)
    yield from _odd_paths(manifest)
    for name, (inputs, outputs) in _expected_io(manifest).items():
        engine = manifest.engines.get(name)
        if engine is not None:
            yield from _io_faults(engine, "input", inputs, engine.inputs)
            yield from _io_faults(engine, "output", outputs, engine.outputs)
            yield from _kv_faults(engine, manifest)
    yield from _table_faults(manifest)
    yield from _token_faults(manifest)


def _absent(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for kind, names, present in (
        ("engine", ENGINE_NAMES, manifest.engines),
        ("table", TABLE_NAMES, manifest.tables),
        ("tokenizer", TOKENIZER_NAMES, manifest.tokenizers),
    ):
        for name in names:
            if name not in present:
                yield f"{kind} {name}", "is missing from the pack"


def _size_faults(m: Manifest) -> Iterator[tuple[str, str]]:
    for part, spec in (("memory", m.memory), ("audio", m.audio), ("reasoner", m.reasoner)):
        for field in dataclasses.fields(spec):
            size = getattr(spec, field.name)
            if isinstance(size, int) and field.name != "bos_id" and size < 1:
                yield f"{part}.{field.name}", f"is {size}, expected 1 or more"
    if m.audio.min_samples > m.audio.max_samples:
        yield "audio.min_samples", f"is over audio.max_samples, {m.audio.max_samples}"


def _odd_paths(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Paths that leave the pack, and models that are not among their engine's checked files."""
    for file in manifest.all_files():
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            yield file.path, "lies outside the pack"
    for engine in manifest.engines.values():
        if engine.model not in {file.path for file in engine.files}:
            yield f"engine {engine.name}", f"loads {engine.model}, which is not among its files"


def _expected_io(
    m: Manifest,
) -> dict[str, tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]]:
    """Inputs and outputs of each engine; a name in a shape is a dynamic axis."""
    mem, aud, vlm = m.memory, m.audio, m.reasoner
    mem_patches, vlm_patches = mem.grid**2, vlm.grid**2
    rows = TensorInfo("logit_rows", "int64", ("q",))
    return {
        "mem_vit": (
            (TensorInfo("frames", "uint8", ("n", mem.pixels, mem.pixels, 3)),),
            (
                TensorInfo("features", "float32", ("n", mem_patches, mem.features)),
                TensorInfo("cls", "float32", ("n", mem.cls)),
            ),
        ),
        "mem_proj": (
            (TensorInfo("features", "float32", ("t", mem_patches, mem.features)),),
            (TensorInfo("clip_embeds", "float32", ("n", mem.hidden)),),
        ),
        "mem_lm": (
            (_embeds(mem.hidden),),
            (TensorInfo("hidden", "float32", (1, "s", mem.hidden)),),
        ),
        "aud_enc": (
            (TensorInfo("pcm", "float32", (1, "n")),),
            (TensorInfo("embeds", "float32", (1, "n", aud.hidden)),),
        ),
        "aud_lm": (
            (_embeds(aud.hidden), rows),
            (TensorInfo("logits", "float32", (1, "q", aud.vocab)),),
        ),
        "vlm_vit": (
            (TensorInfo("tiles", "uint8", ("n", vlm.pixels, vlm.pixels, 3)),),
            (TensorInfo("embeds", "float32", ("n", vlm_patches, vlm.hidden)),),
        ),
        "vlm_lm": (
            (_embeds(vlm.hidden), TensorInfo("plora_rows", "int64", ("r",)), rows),
            (TensorInfo("logits", "float32", (1, "q", vlm.vocab)),),
        ),
        "mem_to_vlm": (
            (TensorInfo("memory", "float32", ("n", mem.hidden)),),
            (TensorInfo("embeds", "float32", ("n", vlm.hidden)),),
        ),
    }


def _embeds(hidden: int) -> TensorInfo:
    return TensorInfo("inputs_embeds", "float32", (1, "s", hidden))


def _io_faults(
    engine: EngineInfo,
    side: str,
    expected: tuple[TensorInfo, ...],
    recorded: tuple[TensorInfo, ...],
) -> Iterator[tuple[str, str]]:
    found = {t.name: t for t in recorded if t.name not in ARENA_INPUTS}
    for want in expected:
        have = found.pop(want.name, None)
        if have is None:
            yield f"engine {engine.name}", f"has no {side} {want.name}"
        elif have.dtype != want.dtype or not shape_fits(want.shape, have.shape):
            yield (
                f"engine {engine.name}",
                f"has {side} {want.name} {have.dtype}{list(have.shape)}, "
                f"expected {want.dtype}{list(want.shape)}",
            )
    for name in found:
        yield f"engine {engine.name}", f"has an unknown {side} {name}"


def shape_fits(want: tuple[int | str, ...], have: tuple[int | str, ...]) -> bool:
    """Whether ``have`` serves where ``want`` is asked: equal sizes, dynamic where named.

    A size of 1 may also be dynamic: a batch axis left open.
    """
    return len(want) == len(have) and all(
        isinstance(h, str) if isinstance(w, str) else (h == w or (w == 1 and isinstance(h, str)))
        for w, h in zip(want, have, strict=True)
    )


def _kv_faults(engine: EngineInfo, m: Manifest) -> Iterator[tuple[str, str]]:
    where = f"engine {engine.name}"
    if engine.name not in DECODER_NAMES:
        if engine.kv is not None:
            yield where, "records a KV arena but is no decoder"
        return
    if engine.kv is None:
        yield where, "is a decoder without KV geometry"
        return
    limit = {
        "mem_lm": m.memory.max_positions,
        "aud_lm": m.audio.max_positions,
        "vlm_lm": m.reasoner.max_positions,
    }[engine.name]
    if engine.kv.max_positions != limit:
        yield where, f"has {engine.kv.max_positions} positions, its model {limit}"
    if engine.kv.dtype not in KV_DTYPES:
        yield where, f"has KV of dtype {engine.kv.dtype}, this runtime has {', '.join(KV_DTYPES)}"
    if min(engine.kv.layers, engine.kv.kv_heads, engine.kv.head_dim) < 1:
        yield where, "has an empty KV geometry"


def _table_faults(m: Manifest) -> Iterator[tuple[str, str]]:
    shapes = {
        "mem_embed": (m.memory.vocab, m.memory.hidden),
        "aud_embed": (m.audio.vocab, m.audio.hidden),
        "vlm_embed": (m.reasoner.vocab, m.reasoner.hidden),
        "vlm_separators": (SEPARATOR_ROWS, m.reasoner.hidden),
    }
    for name, table in m.tables.items():
        where = f"table {name}"
        if (table.rows, table.width) != shapes.get(name, (table.rows, table.width)):
            yield (
                where,
                f"is {[table.rows, table.width]}, expected {list(shapes[name])}",
            )
        if table.dtype not in ITEM_BYTES:
            yield where, f"is of dtype {table.dtype}, this runtime reads {', '.join(ITEM_BYTES)}"
            continue
        if table.file.bytes != table_file_bytes(table):
            yield where, f"has {table.file.bytes} bytes, its shape {table_file_bytes(table)}"
        if (table.scales is None) == (table.dtype == "int8"):
            yield (
                where,
                f"of dtype {table.dtype} {'lacks' if table.scales is None else 'has'} scales",
            )
        elif table.scales is not None and table.scales.bytes != table.rows * SCALE_BYTES:
            yield where, f"has {table.scales.bytes} bytes of scales for {table.rows} rows"


def _token_faults(m: Manifest) -> Iterator[tuple[str, str]]:
    for where, ids, vocab in (
        ("reasoner.bos_id", (m.reasoner.bos_id,), m.reasoner.vocab),
        ("reasoner.stop_ids", m.reasoner.stop_ids, m.reasoner.vocab),
        ("audio.eos_ids", m.audio.eos_ids, m.audio.vocab),
    ):
        if not ids or not all(0 <= i < vocab for i in ids):
            yield where, f"is {list(ids)} in a vocabulary of {vocab}"
