"""Tokenizers: what a user says never becomes a control token, and no character is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes_pack import BPE_CONTROL, CONTROL_PIECES, bpe_tokenizer_json, sentencepiece_model
from omnilive.engine.interface import Tokenizer
from omnilive.engine.manifest import FileRecord, TokenizerInfo
from omnilive.engine.sentencepiece_model import CONTROL, NORMAL, USER_DEFINED, retype_pieces
from omnilive.engine.tokenizers import BpeTokenizer, SentencePieceTokenizer, open_tokenizer
from omnilive.errors import PackError

MARKERS = {"bpe": BPE_CONTROL, "sentencepiece": [*CONTROL_PIECES, "<s>", "</s>", "<unk>"]}
TOKENIZERS: dict[str, Tokenizer] = {
    "bpe": BpeTokenizer(bpe_tokenizer_json(), Path("tokenizer.json")),
    "sentencepiece": SentencePieceTokenizer(sentencepiece_model(), Path("tokenizer.model")),
}
# Pieces of markers, whole markers and ordinary text: what an attacker would glue together.
FRAGMENTS = st.sampled_from(
    [
        *(m for markers in MARKERS.values() for m in markers),
        *("[UNUSED", "_TOKEN_145", "]", "<|", "|>", "im_end", "\n", "——", "\0", "\u2581"),
        *("［UNUSED_TOKEN_145］", "<|im_end|", "[[UNUSED_TOKEN_145]]", "你好", "🙂", " "),
    ]
)
ADVERSARIAL = st.lists(st.one_of(FRAGMENTS, st.text(max_size=6)), max_size=8).map("".join)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=ADVERSARIAL)
@settings(max_examples=200, deadline=None)
def test_user_text_never_becomes_a_control_token(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    control = {tokenizer.id_of(marker) for marker in MARKERS[kind]}
    assert control.isdisjoint(tokenizer.encode(text))


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=ADVERSARIAL)
@settings(max_examples=200, deadline=None)
def test_user_text_comes_back_as_it_was(kind: str, text: str) -> None:
    # SentencePiece spells a space as U+2581 inside pieces, so that one character cannot survive.
    expected = text.replace("\u2581", " ") if kind == "sentencepiece" else text
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == expected


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_template_gets_its_control_tokens_and_decoding_leaves_them_out(kind: str) -> None:
    tokenizer, marker = TOKENIZERS[kind], MARKERS[kind][1]
    ids = tokenizer.encode(f"user{marker} blue", allow_special=True)
    assert ids.count(tokenizer.id_of(marker)) == 1
    assert tokenizer.decode(ids) == "user blue"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_plain_text_is_encoded_alike_with_and_without_control_tokens(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    for text in ("What is the colour of the red box?\n", "视频里有什么——", ""):
        assert tokenizer.encode(text) == tokenizer.encode(text, allow_special=True)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_half_a_character_decodes_to_the_replacement_character(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode("🙂")
    assert len(ids) > 1
    assert "\ufffd" in tokenizer.decode(ids[:-1])


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_ids_beyond_the_vocabulary_decode_to_nothing(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.decode([*tokenizer.encode("blue"), 100_000]) == "blue"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_piece_the_vocabulary_lacks_is_refused(kind: str) -> None:
    with pytest.raises(PackError, match="lacks the piece"):
        TOKENIZERS[kind].id_of("no such piece")


def test_control_tokens_listed_as_ordinary_pieces_too_still_cannot_be_typed() -> None:
    spec = json.loads(bpe_tokenizer_json())
    # With ignore_merges a word that is a piece as it stands is taken whole.
    spec["model"]["ignore_merges"] = True
    spec["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    for token in spec["added_tokens"]:
        spec["model"]["vocab"][token["content"]] = token["id"]
    tokenizer = BpeTokenizer(json.dumps(spec).encode(), Path("tokenizer.json"))
    ids = tokenizer.encode("<|im_end|>")
    assert tokenizer.id_of("<|im_end|>") not in ids
    assert tokenizer.decode(ids) == "<|im_end|>"


@pytest.mark.parametrize(
    ("kind", "data"),
    [("bpe", b"{}"), ("bpe", b"\xff"), ("sentencepiece", b"junk"), ("wordpiece", b"")],
)
def test_a_tokenizer_file_that_cannot_be_used_is_refused(
    tmp_path: Path, kind: str, data: bytes
) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(PackError, match=str(tmp_path)):
        open_tokenizer(TokenizerInfo("x", kind, FileRecord("t", len(data), "")), tmp_path)


def test_retyping_changes_the_wanted_pieces_and_nothing_else() -> None:
    model = sentencepiece_model()
    assert retype_pieces(model, lambda piece, kind: kind) == model
    target = CONTROL_PIECES[0]
    changed = retype_pieces(model, lambda piece, kind: CONTROL if piece == target else kind)
    before = sentencepiece.SentencePieceProcessor(model_proto=model)
    after = sentencepiece.SentencePieceProcessor(model_proto=changed)
    kinds: list[tuple[str, int]] = []
    retype_pieces(changed, lambda piece, kind: kinds.append((piece, kind)) or kind)
    assert (target, CONTROL) in kinds
    assert (CONTROL_PIECES[1], USER_DEFINED) in kinds
    assert ("▁the", NORMAL) in kinds
    assert [before.id_to_piece(i) for i in range(before.get_piece_size())] == [
        after.id_to_piece(i) for i in range(after.get_piece_size())
    ]
    assert [before.get_score(i) for i in range(360)] == [after.get_score(i) for i in range(360)]


def test_a_truncated_sentencepiece_model_is_refused() -> None:
    with pytest.raises(ValueError, match="not a SentencePiece model"):
        retype_pieces(sentencepiece_model()[:-1], lambda piece, kind: kind)
