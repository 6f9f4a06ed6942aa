"""Fills the vocabulary of a SentencePiece model up to a size that its corpus is too small for.

The filler lies before the reserved pieces, which frame a turn, so that those have the ids of the
real vocabulary; no text ever gives it.
"""

from __future__ import annotations

from omnilive_micropack.text_tokenizers import ModelProto


def with_filler(model: bytes, vocab: int, reserved: int) -> bytes:
    """A serialized model of ``vocab`` pieces.

    Args:
        model: a serialized model of at most ``vocab`` pieces; of exactly so many it stays as it is.
        vocab: pieces wanted.
        reserved: how many pieces at the end keep their place there.
    """
    proto = ModelProto()
    proto.ParseFromString(model)
    missing = vocab - len(proto.pieces)
    if not missing:
        return model
    first = len(proto.pieces) - reserved
    last = [
        ModelProto.SentencePiece.FromString(p.SerializeToString()) for p in proto.pieces[first:]
    ]
    del proto.pieces[first:]
    kind = ModelProto.SentencePiece.UNUSED
    for number in range(missing):
        proto.pieces.append(
            ModelProto.SentencePiece(piece=f"[FILLER_{number}]", score=0.0, type=kind)
        )
    proto.pieces.extend(last)
    proto.trainer_spec.vocab_size = vocab
    return bytes(proto.SerializeToString(deterministic=True))
