"""Names and sizes of a decoder's KV tensors, as exporter and runtime must spell them alike.

Each layer has a key and a value of [1, kv_heads, capacity, head_dim]. Arithmetic and names only.
"""

from __future__ import annotations

PARTS = ("key", "value")

LAST_POSITION = "seqlens_k"
"""Input of the ``ort`` dialect, int32 [1]: tokens in the arena after the block, less one."""

TOTAL_LENGTH = "total_sequence_length"
"""Input of the ``ort`` dialect, int32 []: tokens in the arena after the block."""

WRITE_POSITION = "write_position"
"""Input of the ``tensorrt`` dialect, int64 [1]: tokens in the arena before the block."""

ARENA_INPUTS = (LAST_POSITION, TOTAL_LENGTH, WRITE_POSITION)
"""Inputs that place a block in its arena; like the KV tensors, no part of a recorded IO."""

LEAST_BUCKET = 256
"""Tokens of the smallest arena of the ``tensorrt`` dialect; larger ones hold its doubles."""

PREFILL_TOKENS = 512
"""Tokens of the longest block that a ``tensorrt`` decoder is compiled for: bounds what attention's
scores take, heads × block × context."""

_PAST, _PRESENT = "past_key_values", "present"


def past_name(layer: int, part: str) -> str:
    """Input name of the arena's ``key`` or ``value`` of a layer."""
    return f"{_PAST}.{layer}.{part}"


def present_name(layer: int, part: str) -> str:
    """Output name of the arena's ``key`` or ``value`` of a layer."""
    return f"{_PRESENT}.{layer}.{part}"


def past_names(layers: int) -> list[str]:
    """Every KV input, layer by layer, key before value."""
    return [past_name(layer, part) for layer in range(layers) for part in PARTS]


def present_names(layers: int) -> list[str]:
    """Every KV output, in the order of ``past_names``."""
    return [present_name(layer, part) for layer in range(layers) for part in PARTS]


def is_of_arena(name: str) -> bool:
    """Whether a graph's input or output belongs to its arena and not to its recorded IO."""
    return name in ARENA_INPUTS or name.startswith((f"{_PAST}.", f"{_PRESENT}."))


def least_bucket(most: int) -> int:
    """Tokens of the smallest arena of an engine with ``most`` positions."""
    return min(LEAST_BUCKET, most)


def bucket_of(capacity: int, most: int) -> int:
    """Tokens that a ``tensorrt`` arena for ``capacity`` tokens holds: of a few sizes.

    So that few decode steps are captured and few shapes tuned for.

    Args:
        capacity: tokens wanted, at most ``most``.
        most: the engine's positions.
    """
    bucket = least_bucket(most)
    while bucket < capacity:
        bucket = min(2 * bucket, most)
    return bucket
