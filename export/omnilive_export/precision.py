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

LARGEST_CODE = 127
SAFE_CODE = 64
"""Of signed 8 bits; two products of 255 and the smaller one stay within 16 signed bits, in which
x86 without VNNI adds them (vpmaddubsw)."""

BLOCK_SIZES = (32, 64, 128)

KV_FLOAT = "float"
KV_KINDS = (KV_FLOAT, INT8)
"""Keys and values in the arena: the backend's own float type, or int8 with fixed scales."""

RTN, HQQ, CALIBRATED = METHODS = ("rtn", "hqq", "calibrated")
"""How the codes of int4 blocks are chosen: to the nearest, half-quadratic (data-free), and by what
the weights are multiplied with."""


@dataclass(frozen=True)
class LinearFormat:
    """How the weights of a group of linears are stored.

    Attributes:
        kind: ``fp32``, ``fp16``, ``int8`` or ``int4`` blocks, or ``int8-dynamic``: one scale per
            output, and activations rounded to 8 bits as they come.
        block: values that share a scale along the input axis; unused but for blocks.
        symmetric: no zero points.
        method: one of METHODS, of int4; the other kinds are rounded to nearest.
        largest_code: of ``int8-dynamic`` weights; ``SAFE_CODE`` where kernels add in 16 bits.
    """

    kind: str
    block: int
    symmetric: bool = True
    method: str = RTN
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

    @property
    def methods(self) -> frozenset[str]:
        """How the codes of its int4 groups are chosen."""
        groups = (self.blocks, self.head, self.plora, self.encoder)
        return frozenset(group.method for group in groups if group.kind == INT4)


def pack_precision(
    name: str, *, block: int, symmetric: bool = True, method: str = RTN
) -> PackPrecision:
    """The formats of a named precision.

    int4 keeps the encoders, the head and Partial-LoRA at 8 bits: together they are a small part
    of the bytes a decode step reads, and they are the parts a coarse grid hurts most.

    Args:
        name: ``fp32``, ``int8`` or ``int4``.
        block: weights per scale, one of BLOCK_SIZES.
        symmetric: whether int4 blocks go without zero points.
        method: how int4 codes are chosen, one of METHODS.

    Raises:
        ConfigError: another name, block size or method, or a method for what is not int4.
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
    if method not in METHODS:
        raise ConfigError(
            f"no quantizer is called {method!r}",
            where="--quantizer",
            mend="Use one of " + ", ".join(METHODS) + ".",
        )
    if method != RTN and name != INT4:
        raise ConfigError(
            f"{method} chooses the codes of int4 blocks, a pack in {name} has none",
            where="--quantizer",
            mend=f"Use it with --precision {INT4}, or leave it out.",
        )
    if name == FP32:
        plain = LinearFormat(FP32, block)
        return PackPrecision(name, plain, plain, plain, plain, FP32)
    eight = LinearFormat(INT8, block)
    blocks = LinearFormat(INT4, block, symmetric, method) if name == INT4 else eight
    return PackPrecision(name, blocks, eight, eight, eight, INT8)
