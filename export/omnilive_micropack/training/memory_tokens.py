"""The memory's tokenizer while it is trained: the checkpoint's files, read as a pack's reader will.

It never changes an id.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omnilive.engine.tokenizers import BpeTokenizer
from omnilive_export.tokenizers import build_qwen2_tokenizer


def open_tokenizer(folder: Path) -> Callable[[str], list[int]]:
    """Text to ids by the tokenizer files of ``folder``.

    Raises:
        CheckpointError: a file is missing or odd.
    """
    data = build_qwen2_tokenizer(folder).to_str().encode()
    return BpeTokenizer(data, folder).encode
