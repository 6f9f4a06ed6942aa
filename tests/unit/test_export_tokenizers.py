from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_checkpoints import micro_checkpoint
from omnilive.errors import CheckpointError
from omnilive_export.tokenizers import (
    build_qwen2_tokenizer,
    piece_id,
    write_qwen2_tokenizer,
    write_sentencepiece_tokenizer,
)

SAMPLES = (
    "This contains a clip sampled in 12 to 28 seconds",
    "it's 3.14, isn't it?  两点一刻。\r\n\n  end ",
    "<|im_start|>user\nWhat colour is it?<|im_end|>\n",
    "cafe\u0301 = café",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tokenizer") / "audio"
    shutil.copytree(micro_checkpoint() / "audio", copy)
    return copy


@pytest.mark.parametrize("text", SAMPLES)
def test_ids_are_those_of_the_reference_library(folder: Path, text: str) -> None:
    transformers = pytest.importorskip("transformers")
    reference = transformers.Qwen2Tokenizer.from_pretrained(folder)
    assert build_qwen2_tokenizer(folder).encode(text).ids == reference(text)["input_ids"]


@given(text=st.text(max_size=60).filter(lambda text: "<|" not in text))
def test_any_text_without_control_tokens_comes_back_composed(folder: Path, text: str) -> None:
    import unicodedata

    tokenizer = build_qwen2_tokenizer(folder)
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_added_tokens_keep_the_ids_the_checkpoint_gives_them(folder: Path) -> None:
    added = json.loads((folder / "added_tokens.json").read_text())
    tokenizer = build_qwen2_tokenizer(folder)
    assert {content: tokenizer.token_to_id(content) for content in added} == added


def test_an_added_token_with_another_id_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "audio")
    listed = json.loads((folder / "tokenizer_config.json").read_text())
    tokens = listed["added_tokens_decoder"]
    tokens["1030"] = tokens.pop("1009")
    (tmp_path / "audio" / "tokenizer_config.json").write_text(json.dumps(listed))
    (tmp_path / "audio" / "added_tokens.json").unlink()
    with pytest.raises(CheckpointError, match="expected id"):
        build_qwen2_tokenizer(tmp_path / "audio")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("vocab.json", None, "is missing"),
        ("vocab.json", "{", "is not JSON"),
        ("vocab.json", "[]", "expected a JSON object, found list"),
        ("merges.txt", None, "is missing"),
        ("merges.txt", "a \udcff", "is not UTF-8 text"),
        ("merges.txt", "#version: 0.2\na b c\n", "line 2 expected two pieces, found 'a b c'"),
        ("merges.txt", "nosuch piece\n", "does not fit vocab.json"),
        ("tokenizer_config.json", '{"added_tokens_decoder": 3}', "odd added_tokens_decoder"),
        (
            "tokenizer_config.json",
            '{"added_tokens_decoder": {"7": {}}}',
            "odd added_tokens_decoder",
        ),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": 1}}', "odd added_tokens_decoder"),
        ("added_tokens.json", '{"<x>": "7"}', "expected an id for '<x>', found '7'"),
    ],
)
def test_an_odd_file_is_named(
    folder: Path, tmp_path: Path, file: str, text: str | None, said: str
) -> None:
    shutil.copytree(folder, tmp_path / "audio")
    path = tmp_path / "audio" / file
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError) as raised:
        build_qwen2_tokenizer(tmp_path / "audio")
    assert said in raised.value.what
    assert raised.value.where == str(path)


def test_written_tokenizers_are_recorded(folder: Path, tmp_path: Path) -> None:
    bpe = write_qwen2_tokenizer("audio", folder, tmp_path)
    model = micro_checkpoint() / "base" / "tokenizer.model"
    pieces = write_sentencepiece_tokenizer("reasoner", model, tmp_path)
    assert (bpe.kind, bpe.file.path) == ("bpe", "tokenizers/audio/tokenizer.json")
    assert pieces.kind == "sentencepiece"
    assert (tmp_path / pieces.file.path).read_bytes() == model.read_bytes()


def test_pieces_are_found_by_name_or_refused(tmp_path: Path) -> None:
    model = micro_checkpoint() / "base" / "tokenizer.model"
    assert piece_id(model, "[UNUSED_TOKEN_145]") + 1 == piece_id(model, "[UNUSED_TOKEN_146]")
    with pytest.raises(CheckpointError, match="lacks the piece 'no such piece'"):
        piece_id(model, "no such piece")
    (tmp_path / "tokenizer.model").write_bytes(b"\x00garbage")
    with pytest.raises(CheckpointError, match="not a SentencePiece model"):
        piece_id(tmp_path / "tokenizer.model", "<s>")
    with pytest.raises(CheckpointError, match="none: is missing"):
        piece_id(tmp_path / "none", "<s>")
