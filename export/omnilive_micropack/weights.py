"""Seeded values for the tensors of a checkpoint, streamed into safetensors files.

It holds at most one block of values at a time, so that a full-size family needs no more memory
than the miniature; it never imports torch. A tensor's values are either drawn for it alone, or cut
from one pool of normal values that all tensors share: drawing billions takes minutes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from omnilive.errors import OutputError
from omnilive_micropack.layout import TensorSpec

BLOCK_ELEMENTS = 4 << 20
"""Values drawn and written at once: 16 MiB of float32."""

DRAW = 10
"""Which of many equally random checkpoints seed 0 is."""

POOL_ELEMENTS = (1 << 22) - 3
"""Values of the shared pool. A prime: rows of any width then meet it at ever other places."""

BF16_BYTES = 2
HEADER_ALIGNMENT = 8

Bits = npt.NDArray[np.uint16]
"""bfloat16 values by their bits."""

Draw = Callable[[TensorSpec, int], Iterator[Bits]]
"""The values of a tensor in flat blocks, given its spec and the seed."""


def bf16_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Bits of the nearest bfloat16, ties to even; ``values`` are finite float32 of any shape."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounding = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + rounding) >> np.uint32(16)).astype(np.uint16)


def sinusoids(positions: int, width: int) -> npt.NDArray[np.float32]:
    """Whisper's position table [positions, width]: sines, then cosines."""
    half = width // 2
    scales = np.exp(-np.log(10_000.0) / (half - 1) * np.arange(half))
    angles = np.arange(positions)[:, None] * scales[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def blocks(spec: TensorSpec, seed: int) -> Iterator[npt.NDArray[np.float32]]:
    """The values of one tensor in flat float32 blocks.

    They depend on the seed and the tensor's name alone, not on which tensors came before.
    """
    if spec.sinusoid:
        positions, width = spec.shape
        yield sinusoids(positions, width).reshape(-1)
        return
    rng = np.random.default_rng([DRAW, seed, zlib.crc32(spec.name.encode())])
    for start in range(0, spec.elements, BLOCK_ELEMENTS):
        count = min(BLOCK_ELEMENTS, spec.elements - start)
        values = rng.standard_normal(count, dtype=np.float32)
        values *= np.float32(spec.std)
        values += np.float32(spec.mean)
        yield values


def drawn(spec: TensorSpec, seed: int) -> Iterator[Bits]:
    """Values drawn for this tensor alone: ``blocks`` as bfloat16."""
    for values in blocks(spec, seed):
        yield bf16_bits(values)


def pooled(seed: int) -> Draw:
    """A draw that cuts every tensor from one pool of ``POOL_ELEMENTS`` normal values.

    A tensor is the pool, scaled and shifted for it, from a place of its own; after each turn
    through the pool it goes on at another place. Mean, spread and range are those asked for, and
    equal values lie far apart, but no two tensors are independent: good for sizes, speeds and the
    error of a quantizer, not for what a model says.
    """
    pool = np.random.default_rng([DRAW, seed]).standard_normal(POOL_ELEMENTS, dtype=np.float32)

    def draw(spec: TensorSpec, seed: int) -> Iterator[Bits]:
        if spec.sinusoid:
            yield from drawn(spec, seed)
            return
        rng = np.random.default_rng([DRAW, seed, zlib.crc32(spec.name.encode())])
        if spec.elements <= POOL_ELEMENTS:
            places = np.arange(spec.elements) + rng.integers(POOL_ELEMENTS)
            yield _scaled(pool.take(places, mode="wrap"), spec)
            return
        scaled = _scaled(pool, spec)
        left = spec.elements
        while left:
            place = int(rng.integers(POOL_ELEMENTS))
            for run in (scaled[place:], scaled[:place]):
                yield run[:left]
                left -= min(left, len(run))

    return draw


def _scaled(values: npt.NDArray[np.float32], spec: TensorSpec) -> Bits:
    return bf16_bits(values * np.float32(spec.std) + np.float32(spec.mean))


def safetensors_header(specs: Sequence[TensorSpec]) -> tuple[bytes, int]:
    """Everything before the tensors of a safetensors file, and the bytes of tensors after it."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for spec in specs:
        end = offset + spec.elements * BF16_BYTES
        header[spec.name] = {
            "dtype": "BF16",
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT)
    return len(text).to_bytes(8, "little") + text, offset


def write_safetensors(path: Path, specs: Sequence[TensorSpec], seed: int, draw: Draw) -> int:
    """Write the tensors as bfloat16 in the order given; return the bytes of tensor data.

    Raises:
        OutputError: the file cannot be written.
    """
    header, nbytes = safetensors_header(specs)
    try:
        with path.open("wb") as file:
            file.write(header)
            for spec in specs:
                for bits in draw(spec, seed):
                    file.write(bits.astype("<u2", copy=False).data)
    except OSError as e:
        raise OutputError(
            f"cannot be written ({e.strerror or e})",
            where=str(path),
            mend="Free space there or choose another folder with --out.",
        ) from e
    return nbytes


def split_shards(specs: Sequence[TensorSpec], count: int) -> list[list[TensorSpec]]:
    """Cut a list of tensors, in order, into ``count`` runs of about equal size."""
    total = sum(s.elements for s in specs)
    shards: list[list[TensorSpec]] = [[] for _ in range(count)]
    done = 0
    for spec in specs:
        shards[min(count - 1, done * count // total)].append(spec)
        done += spec.elements
    return [s for s in shards if s]


def write_weights(
    folder: Path, specs: Sequence[TensorSpec], seed: int, shards: int, draw: Draw = drawn
) -> None:
    """Write ``model.safetensors``, or numbered shards and their index as Hugging Face names them.

    Raises:
        OutputError: a file cannot be written.
    """
    parts = split_shards(specs, shards)
    if len(parts) == 1:
        write_safetensors(folder / "model.safetensors", specs, seed, draw)
        return
    weight_map: dict[str, str] = {}
    total = 0
    for i, part in enumerate(parts, start=1):
        name = f"model-{i:05d}-of-{len(parts):05d}.safetensors"
        total += write_safetensors(folder / name, part, seed, draw)
        weight_map.update({spec.name: name for spec in part})
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps(index, indent=2) + "\n", encoding="utf-8"
    )
