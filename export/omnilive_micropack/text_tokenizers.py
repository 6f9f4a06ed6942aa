"""Training of the miniature's tokenizers: SentencePiece for the reasoner, Qwen2 BPE for the rest.

Same corpus, same bytes. It writes the files a real checkpoint has and nothing else (spec §1.5).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as sp_model
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from omnilive.errors import BuildError
from omnilive.reasoning.config import PromptConfig
from omnilive_micropack import grammar
from omnilive_micropack.vocabulary import (
    COLOURS,
    FIGURES,
    NUMBERS,
    OBJECTS,
    PLACES,
    PLURALS,
    ROOMS,
)

TURN_END = "[UNUSED_TOKEN_145]"
TURN_START = "[UNUSED_TOKEN_146]"
LAST_RESERVED = 146
"""Number in the name of the last reserved piece of the reasoner's vocabulary (spec §1.5)."""

ANSWER_PIECES = ("Yes", "▁Yes", "No", "▁No")
"""Single pieces that the instruction check reads from the logits (spec §4)."""

SHORTEST_WHOLE = 3
"""Letters of the shortest word that is made a single piece; shorter ones are frequent enough to
become one by themselves."""

ANSWER_WORDS = ("seen", "raining", "nobody", "moment", "ago", "minutes", "left", "came", "moved")
"""Words of answers that no question may hold."""

FIRST_WORDS = ("the", "yes", "not", "nobody", "now", "minutes")
"""Words an answer may begin with, besides colours, numbers, things, people and rooms."""

ASKING = ("what", "which", "where", "when", "who", "how", "tell", "have", "was", "did")
"""Words a question begins with; in the instruction check a quotation mark stands before them."""

END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MEMORY_SPECIALS = (END_OF_TEXT, IM_START, IM_END)
AUDIO_PLACEHOLDER, AUDIO_BOS, AUDIO_EOS = "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"
AUDIO_SPECIALS = (
    *MEMORY_SPECIALS,
    AUDIO_PLACEHOLDER,
    AUDIO_BOS,
    AUDIO_EOS,
    "<|startoftranscripts|>",
    "<|en|>",
    "<|zh|>",
    "<|unknown|>",
    "<|transcribe|>",
    "<|caption_audio|>",
    "<|notimestamps|>",
    "<|wo_itn|>",
)
"""In the real file's order: the placeholder follows ``<|im_end|>`` (spec §1.2, §1.5)."""

ModelProto: Any = sp_model.ModelProto  # type: ignore[attr-defined]
"""Protobuf makes its classes at import, so type checkers cannot see them."""

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's pre-tokenization: digits singly, words with their leading space."""

CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class QwenVocabulary:
    """A trained Qwen2 vocabulary: byte-level entries with their ids, and merges in their order."""

    entries: dict[str, int]
    merges: list[tuple[str, str]]

    def special_ids(self, specials: Sequence[str]) -> dict[str, int]:
        """Ids of special tokens, numbered after the entries in the order given."""
        return {token: len(self.entries) + i for i, token in enumerate(specials)}


def whole_pieces() -> tuple[str, ...]:
    """Pieces that keep every word of the world whole, so that it has one embedding.

    Each with a space before it, as inside a sentence; the words an answer or a question begins
    with also without. SentencePiece finds such a piece wherever its letters stand, and loses none.
    """
    told = (*OBJECTS, *PLURALS.values(), *COLOURS, *NUMBERS, *FIGURES, *ROOMS)
    words = {*grammar.vocabulary(), *told, *ANSWER_WORDS}
    words |= {word for place in PLACES for word in place.split()}
    words |= set(re.findall(r"[A-Za-z]+", PromptConfig().system_prompt_en))
    inside = [f"\u2581{word}" for word in sorted(words) if len(word) >= SHORTEST_WHOLE]
    first = (*COLOURS, *NUMBERS, *OBJECTS, *FIGURES, *ROOMS, *FIRST_WORDS, *ASKING)
    return (*inside, *dict.fromkeys(first))


def train_sentencepiece(lines: Sequence[str], vocab: int, reserved: int) -> bytes:
    """A serialized SentencePiece BPE model of ``vocab`` pieces with byte fallback.

    The last ``reserved`` pieces are ``[UNUSED_TOKEN_n]`` up to 146; the newline and
    ``whole_pieces`` are pieces whatever the corpus holds.

    Raises:
        BuildError: the corpus is too small for the vocabulary, or Yes/No are no single pieces.
    """
    writer = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=writer,
            model_type="bpe",
            vocab_size=vocab - reserved,
            byte_fallback=True,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_digits=True,
            user_defined_symbols=["\n", *whole_pieces()],
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as e:
        raise BuildError(
            f"could not be trained ({str(e).splitlines()[-1]})",
            where="tokenizer.model",
            mend="Use a larger corpus or a smaller vocabulary.",
        ) from e
    proto = ModelProto()
    proto.ParseFromString(writer.getvalue())
    for number in range(LAST_RESERVED - reserved + 1, LAST_RESERVED + 1):
        proto.pieces.append(
            ModelProto.SentencePiece(
                piece=f"[UNUSED_TOKEN_{number}]",
                score=0.0,
                type=ModelProto.SentencePiece.USER_DEFINED,
            )
        )
    proto.trainer_spec.vocab_size = len(proto.pieces)
    pieces = {p.piece for p in proto.pieces}
    missing = [p for p in ANSWER_PIECES if p not in pieces]
    if missing or len(proto.pieces) != vocab:
        raise BuildError(
            f"has {len(proto.pieces)} pieces of {vocab} and lacks {missing}",
            where="tokenizer.model",
            mend="Use a corpus in which these words are frequent.",
        )
    return bytes(proto.SerializeToString(deterministic=True))


def train_qwen_bpe(lines: Sequence[str], entries: int) -> QwenVocabulary:
    """A byte-level BPE of ``entries`` entries.

    Raises:
        BuildError: the corpus is too small for so many.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    if len(vocabulary) != entries:
        raise BuildError(
            f"has {len(vocabulary)} entries of {entries}",
            where="vocab.json",
            mend="Use a larger corpus or a smaller vocabulary.",
        )
    return QwenVocabulary(vocabulary, [(left, right) for left, right in model["merges"]])


def write_qwen_bpe(
    folder: Path, vocabulary: QwenVocabulary, specials: Sequence[str], max_length: int
) -> dict[str, int]:
    """Write vocab.json, merges.txt, added_tokens.json and tokenizer_config.json.

    Returns the ids of the special tokens.
    """
    special_ids = vocabulary.special_ids(specials)
    _dump(folder / "vocab.json", vocabulary.entries, indent=None)
    merges = ["#version: 0.2", *(f"{left} {right}" for left, right in vocabulary.merges)]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    _dump(folder / "added_tokens.json", special_ids)
    _dump(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(index): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for token, index in special_ids.items()
            },
            "bos_token": None,
            "chat_template": CHAT_TEMPLATE,
            "eos_token": IM_END,
            "errors": "replace",
            "model_max_length": max_length,
            "pad_token": END_OF_TEXT,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )
    return special_ids


def reasoner_tokenizer_config(max_length: int) -> dict[str, object]:
    """``base/tokenizer_config.json``."""
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": max_length,
        "pad_token": "</s>",
        "tokenizer_class": "InternLM2Tokenizer",
        "unk_token": "<unk>",
    }


def _dump(path: Path, value: object, indent: int | None = 2) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    path.write_text(text + "\n", encoding="utf-8")
