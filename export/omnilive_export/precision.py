"""Which number format each group of weights gets in a pack.

A precision is a choice made before anything is read; it must not depend on the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.errors import ConfigError

FP32 = "fp32"
FP16 = "fp16"
INT8 = "int8"
INT8_DYNAMIC = "int8-dynamic"
INT4 = "int4"
PRECISIONS = (FP32, INT8, INT4)

METHODS = ("rtn", "hqq", "calibrated")
"""How scales and codes are found: round to nearest, HQQ, or from recorded activations."""

LARGEST_CODE = 127
SAFE_CODE = 64
"""Of signed 8 bits; two products of 255 and the smaller one stay within 16 signed bits, in which
x86 without VNNI adds them (vpmaddubsw)."""

BLOCK_SIZES = (32, 64, 128)

KV_FLOAT = "float"
KV_KINDS = (KV_FLOAT, INT8)
"""Keys and values in the arena: the backend's own float type, or int8 with fixed scales."""


@dataclass(frozen=True)
class LinearFormat:
    """How the weights of a group of linears are stored.

    Attributes:
        kind: ``fp32``, ``fp16``, ``int8`` or ``int4`` blocks, or ``int8-dynamic``: one scale per
            output, and activations rounded to 8 bits as they come.
        block: values that share a scale along the input axis; unused but for blocks.
        symmetric: no zero points.
        method: one of METHODS; unused but for blocks.
        largest_code: of ``int8-dynamic`` weights; ``SAFE_CODE`` where kernels add in 16 bits.
    """

    kind: str
    block: int
    symmetric: bool = True
    method: str = "rtn"
    largest_code: int = LARGEST_CODE

    @property
    def bits(self) -> int:
        """Bits per weight of a quantized kind."""
        return {INT8: 8, INT4: 4}[self.kind]


@dataclass(frozen=True)
class PackPrecision:
    """Formats of a whole pack.

    Attributes:
        name: what the user asked for.
        blocks: linears of the three decoders.
        head: the decoders' output heads.
        plora: Partial-LoRA's A and B.
        encoder: linears of the ViTs, the audio encoder and the projectors.
        tables: ``fp32`` or ``int8`` rows of the embedding tables.
        kv: one of KV_KINDS.
        kept: layers that have another format than their group: a pattern of
            ``engine.layer`` names, as ``fnmatch`` reads it, and the format.
    """

    name: str
    blocks: LinearFormat
    head: LinearFormat
    plora: LinearFormat
    encoder: LinearFormat
    tables: str
    kv: str = KV_FLOAT
    kept: tuple[tuple[str, LinearFormat], ...] = ()


def pack_precision(name: str, *, block: int, symmetric: bool = True) -> PackPrecision:
    """The formats of a named precision.

    int4 keeps the encoders, the head and Partial-LoRA at 8 bits: together they are a small part
    of the bytes a decode step reads, and they are the parts a coarse grid hurts most.

    Args:
        name: ``fp32``, ``int8`` or ``int4``.
        block: weights per scale, one of BLOCK_SIZES.
        symmetric: whether int4 blocks go without zero points.

    Raises:
        ConfigError: another name or block size.
    """
    if name not in PRECISIONS:
        raise ConfigError(
            f"no precision is called {name!r}",
            where="--precision",
            mend="Use one of " + ", ".join(PRECISIONS) + ".",
        )
    if block not in BLOCK_SIZES:
        raise ConfigError(
            f"blocks of {block} values are not supported",
            where="--block-size",
            mend="Use one of " + ", ".join(str(b) for b in BLOCK_SIZES) + ".",
        )
    if name == FP32:
        plain = LinearFormat(FP32, block)
        return PackPrecision(name, plain, plain, plain, plain, FP32)
    eight = LinearFormat(INT8, block)
    blocks = LinearFormat(INT4, block, symmetric) if name == INT4 else eight
    return PackPrecision(name, blocks, eight, eight, eight, INT8)
