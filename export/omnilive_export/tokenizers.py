"""Tokenizers of a pack: Qwen2's files become one tokenizer.json, a SentencePiece model is copied.

It never changes an id.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from omnilive.engine.manifest import FileRecord, TokenizerInfo
from omnilive.errors import CheckpointError
from omnilive_export.graphs.weight_file import HashedFile

TOKENIZER_FOLDER = "tokenizers"
BPE_NAME = "tokenizer.json"
SENTENCEPIECE_NAME = "tokenizer.model"

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's pre-tokenizer: words with one leading sign or space, single digits, runs of signs."""

_MEND = "Download the tokenizer files of this model again."


def build_qwen2_tokenizer(folder: Path) -> Tokenizer:
    """Qwen2's byte-level BPE from vocab.json, merges.txt and the added tokens.

    Raises:
        CheckpointError: a file is missing or odd, or an added token has another id than recorded.
    """
    vocab = _json_object(folder / "vocab.json")
    merges = _merges(folder / "merges.txt")
    try:
        bpe = models.BPE(vocab=vocab, merges=merges, fuse_unk=False, byte_fallback=False)
    # The library raises plain Exception for merges of unknown pieces.
    except Exception as e:
        raise _odd(folder / "merges.txt", f"does not fit vocab.json ({e})") from e
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    for expected, token in sorted(_added_tokens(folder).items()):
        if token.special:
            tokenizer.add_special_tokens([token])
        else:
            tokenizer.add_tokens([token])
        found = tokenizer.token_to_id(token.content)
        if found != expected:
            raise _odd(
                folder, f"added token {token.content!r} expected id {expected}, found {found}"
            )
    return tokenizer


def write_qwen2_tokenizer(name: str, folder: Path, pack: Path) -> TokenizerInfo:
    """Write the tokenizer of ``folder`` as ``name`` into ``pack``. Raises CheckpointError."""
    text = build_qwen2_tokenizer(folder).to_str()
    return TokenizerInfo(name, "bpe", _written(pack, name, BPE_NAME, text.encode()))


def copy_tokenizer(name: str, path: Path, pack: Path) -> TokenizerInfo:
    """Copy a tokenizer.json as ``name`` into ``pack``. Raises CheckpointError if it is none."""
    data = _bytes(path)
    try:
        Tokenizer.from_buffer(data)
    # The library raises plain Exception, and ValueError, for files it does not understand.
    except Exception as e:
        raise _odd(path, f"is no tokenizer ({e})") from e
    return TokenizerInfo(name, "bpe", _written(pack, name, BPE_NAME, data))


def write_sentencepiece_tokenizer(name: str, model: Path, pack: Path) -> TokenizerInfo:
    """Copy a SentencePiece model as ``name`` into ``pack``. Raises CheckpointError."""
    piece_id(model, "<s>")
    record = _written(pack, name, SENTENCEPIECE_NAME, _bytes(model))
    return TokenizerInfo(name, "sentencepiece", record)


def piece_id(model: Path, piece: str) -> int:
    """Id of ``piece`` in a SentencePiece model.

    Raises:
        CheckpointError: the file is missing or not such a model, or lacks the piece.
    """
    processor = sentencepiece.SentencePieceProcessor()
    serialized = _bytes(model)
    try:
        processor.LoadFromSerializedProto(serialized)
    except RuntimeError as e:
        raise _odd(model, "is not a SentencePiece model") from e
    found = int(processor.PieceToId(piece))
    if processor.IdToPiece(found) != piece:
        raise _odd(model, f"lacks the piece {piece!r}")
    return found


def _added_tokens(folder: Path) -> dict[int, AddedToken]:
    """Added tokens by id: of tokenizer_config.json, and those only added_tokens.json knows."""
    found: dict[int, AddedToken] = {}
    config = folder / "tokenizer_config.json"
    if config.is_file():
        listed = _json_object(config).get("added_tokens_decoder", {})
        try:
            found = {int(key): _added_token(raw) for key, raw in listed.items()}
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise _odd(config, "has an odd added_tokens_decoder") from e
    extra = folder / "added_tokens.json"
    if extra.is_file():
        for content, index in _json_object(extra).items():
            if not isinstance(index, int):
                raise _odd(extra, f"expected an id for {content!r}, found {index!r}")
            found.setdefault(index, AddedToken(content, normalized=False, special=True))
    if not found:
        raise _odd(
            folder,
            "has neither tokenizer_config.json nor added_tokens.json with the control tokens",
        )
    return found


def _added_token(raw: dict[str, Any]) -> AddedToken:
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(raw["content"], **{f: bool(raw.get(f, False)) for f in flags})


def _merges(path: Path) -> list[tuple[str, str]]:
    """The merges in order; the first line may be a version comment."""
    lines = _text(path).split("\n")
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = line.split(" ")
        if len(parts) != 2:
            raise _odd(path, f"line {number} expected two pieces, found {line!r}")
        pairs.append((parts[0], parts[1]))
    return pairs


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path))
    except ValueError as e:
        raise _odd(path, f"is not JSON ({e})") from e
    if not isinstance(value, dict):
        raise _odd(path, f"expected a JSON object, found {type(value).__name__}")
    return value


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8")
    except UnicodeDecodeError as e:
        raise _odd(path, "is not UTF-8 text") from e


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as e:
        raise _odd(path, "is missing") from e
    except OSError as e:
        raise _odd(path, f"cannot be read ({e.strerror})") from e


def _odd(path: Path, what: str) -> CheckpointError:
    return CheckpointError(what, where=str(path), mend=_MEND)


def _written(pack: Path, name: str, file_name: str, data: bytes) -> FileRecord:
    folder = pack / TOKENIZER_FOLDER / name
    folder.mkdir(parents=True)
    file = HashedFile(folder / file_name)
    try:
        file.write(data)
    finally:
        file.close()
    return file.record(pack)
