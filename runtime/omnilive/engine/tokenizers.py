"""Text to token ids and back for the pack's two tokenizer kinds.

What a user says never becomes a control token: text is encoded by a copy of the vocabulary whose
control tokens cannot match. It never adds BOS and knows no prompt template.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers

from omnilive.engine.interface import Tokenizer
from omnilive.engine.manifest import REBUILD, TokenizerInfo
from omnilive.engine.sentencepiece_model import CONTROL, USER_DEFINED, retype_pieces
from omnilive.errors import PackError

CONTROL_SPELLING = re.compile(r"\[UNUSED_TOKEN_\d+\]|<\|[^|]*\|>")
"""How the reasoner's vocabulary spells control tokens (spec §1.5).

It has other user-defined pieces too (punctuation, newline); those are ordinary text.
"""


def open_tokenizer(info: TokenizerInfo, folder: Path) -> Tokenizer:
    """Load one tokenizer of the pack at ``folder``.

    Raises:
        PackError: the file is unreadable or of a kind this runtime does not know.
    """
    path = folder / info.file.path
    mend = REBUILD.format(pack=folder)
    if info.kind not in ("bpe", "sentencepiece"):
        raise PackError(f"is of unknown kind {info.kind!r}", where=str(path), mend=mend)
    try:
        data = path.read_bytes()
        return (
            BpeTokenizer(data, path) if info.kind == "bpe" else SentencePieceTokenizer(data, path)
        )
    except PackError:
        raise
    # The tokenizers library raises bare Exception for a file it cannot parse.
    except Exception as e:
        raise PackError(f"cannot be read ({e})", where=str(path), mend=mend) from e


class BpeTokenizer:
    """A ``tokenizer.json``: byte-level BPE with added control tokens (memory and audio)."""

    def __init__(self, data: bytes, path: Path) -> None:
        """Parse ``data``, the content of ``path``."""
        spec: dict[str, Any] = json.loads(data)
        self._path = path
        self._full = tokenizers.Tokenizer.from_str(json.dumps(spec))
        self._plain = tokenizers.Tokenizer.from_str(json.dumps({**spec, "added_tokens": []}))
        added = {int(token["id"]) for token in spec.get("added_tokens", [])}
        if added & set(self._plain.get_vocab(with_added_tokens=False).values()):
            # A vocabulary that also lists them as pieces could still merge its way to one.
            self._guarded = frozenset(added)
        else:
            self._guarded = frozenset()

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """See ``Tokenizer.encode``."""
        if allow_special:
            return list(self._full.encode(text, add_special_tokens=False).ids)
        ids = list(self._plain.encode(text, add_special_tokens=False).ids)
        if self._guarded.isdisjoint(ids):
            return ids
        return [i for char in text for i in self._plain.encode(char, add_special_tokens=False).ids]

    def decode(self, ids: list[int]) -> str:
        """See ``Tokenizer.decode``."""
        return str(self._full.decode(ids, skip_special_tokens=True))

    def id_of(self, piece: str) -> int:
        """See ``Tokenizer.id_of``."""
        found = self._full.token_to_id(piece)
        if found is None:
            raise _lacks(piece, self._path)
        return int(found)


class SentencePieceTokenizer:
    """A ``tokenizer.model``: SentencePiece BPE with byte fallback (reasoner, spec §1.5)."""

    def __init__(self, data: bytes, path: Path) -> None:
        """Parse ``data``, the content of ``path``."""
        self._path = path
        self._full = sentencepiece.SentencePieceProcessor(model_proto=data)
        # SentencePiece matches user-defined pieces anywhere in a text and never control pieces,
        # which it also leaves out when decoding: exactly what a turn marker must do.
        plain = retype_pieces(
            data,
            lambda piece, kind: (
                CONTROL if kind == USER_DEFINED and CONTROL_SPELLING.fullmatch(piece) else kind
            ),
        )
        self._plain = sentencepiece.SentencePieceProcessor(model_proto=plain)
        self._size = int(self._full.get_piece_size())

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """See ``Tokenizer.encode``."""
        processor = self._full if allow_special else self._plain
        return list(processor.encode(text, out_type=int))

    def decode(self, ids: list[int]) -> str:
        """See ``Tokenizer.decode``. Ids of a padded vocabulary's unused tail give nothing."""
        return str(self._plain.decode([int(i) for i in ids if i < self._size]))

    def id_of(self, piece: str) -> int:
        """See ``Tokenizer.id_of``."""
        found = int(self._full.piece_to_id(piece))
        if self._full.id_to_piece(found) != piece:
            raise _lacks(piece, self._path)
        return found


def _lacks(piece: str, path: Path) -> PackError:
    return PackError(
        f"lacks the piece {piece!r}",
        where=str(path),
        mend=REBUILD.format(pack=path.parent.parent.parent),
    )
