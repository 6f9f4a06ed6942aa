"""Decoders run by onnxruntime, their KV in arenas that the graph writes in place.

Past and present KV of a layer are one buffer, bound as input and output: appending a block costs
no copy of what is already there. It never interprets tokens.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from omnilive.engine.interface import F32, I64, KvArena
from omnilive.engine.manifest import EngineInfo, KvInfo, TensorInfo
from omnilive.engine.ort_session import run_error
from omnilive.errors import EngineError

_LAST_OF_ONE = np.zeros(1, np.int64)
_NO_ROWS = np.zeros(0, np.int64)


def kv_inputs(info: EngineInfo) -> list[TensorInfo]:
    """The inputs a decoder graph has beside those in the manifest."""
    return [
        *_kv_tensors("past_key_values", _geometry(info)),
        TensorInfo("seqlens_k", "int32", (1,)),
        TensorInfo("total_sequence_length", "int32", ()),
    ]


def kv_outputs(info: EngineInfo) -> list[TensorInfo]:
    """The outputs a decoder graph has beside those in the manifest."""
    return _kv_tensors("present", _geometry(info))


def _kv_tensors(prefix: str, kv: KvInfo) -> list[TensorInfo]:
    shape = (1, kv.kv_heads, "capacity", kv.head_dim)
    return [
        TensorInfo(f"{prefix}.{layer}.{part}", kv.dtype, shape)
        for layer in range(kv.layers)
        for part in ("key", "value")
    ]


def _geometry(info: EngineInfo) -> KvInfo:
    if info.kv is None:
        raise EngineError(
            "records no KV geometry",
            where=f"engine {info.name}",
            mend="Only decoders take a KV arena; rebuild the pack if this is one.",
        )
    return info.kv


class OrtArena:
    """KV buffers of one sequence with the bindings that run on them.

    The buffers come zeroed from the system, so memory is used only as far as tokens reach.
    """

    def __init__(self, decoder: OrtDecoder, capacity: int) -> None:
        """Allocate ``capacity`` tokens; use ``OrtDecoder.new_arena``."""
        self._owner = decoder
        self._capacity = capacity
        self._length = 0
        self.lock = threading.Lock()
        kv = decoder.kv
        self._buffers = [
            ort.OrtValue.ortvalue_from_numpy(
                np.zeros((1, kv.kv_heads, capacity, kv.head_dim), np.dtype(kv.dtype))
            )
            for _ in range(2 * kv.layers)
        ]
        self._last_position = np.zeros(1, np.int32)
        self._total_length = np.zeros((), np.int32)
        self.step_embeds: F32 = np.zeros((1, 1, decoder.width), np.float32)
        self.step_output: F32 = np.zeros((1, 1, decoder.output_width), np.float32)
        self.step_binding = self._new_binding()
        for name, value in decoder.row_feeds(_LAST_OF_ONE, _NO_ROWS).items():
            self.step_binding.bind_cpu_input(name, value)
        self.step_binding.bind_cpu_input("inputs_embeds", self.step_embeds)
        _bind_output(self.step_binding, decoder.output_name, self.step_output)
        self.block_binding = self._new_binding()

    @property
    def capacity(self) -> int:
        """See ``KvArena.capacity``."""
        return self._capacity

    @property
    def length(self) -> int:
        """See ``KvArena.length``."""
        return self._length

    def truncate(self, length: int) -> None:
        """See ``KvArena.truncate``."""
        with self.lock:
            if not 0 <= length <= self._length:
                raise EngineError(
                    f"cannot keep {length} tokens of {self._length}",
                    where=f"KV arena of {self._owner.name}",
                    mend="Truncate to a length the arena has reached.",
                )
            self._length = length

    def owned_by(self, decoder: OrtDecoder) -> bool:
        """Whether it was made by ``decoder``, whose geometry it has."""
        return self._owner is decoder

    def place(self, tokens: int) -> None:
        """Tell the graph where the next ``tokens`` tokens go. Raises EngineError on overflow."""
        total = self._length + tokens
        if total > self._capacity:
            raise EngineError(
                f"{self._length} + {tokens} tokens exceed its capacity of {self._capacity}",
                where=f"KV arena of {self._owner.name}",
                mend="Shorten the prompt or raise the configured context.",
            )
        self._last_position[0] = total - 1
        self._total_length[...] = total

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` tokens that the graph has written."""
        self._length += tokens

    def _new_binding(self) -> Any:
        """A binding with the KV in place and the position inputs, which change by value only."""
        binding = self._owner.session.io_binding()
        names = zip(kv_inputs(self._owner.info), kv_outputs(self._owner.info), strict=False)
        for (past, present), buffer in zip(names, self._buffers, strict=True):
            binding.bind_ortvalue_input(past.name, buffer)
            binding.bind_ortvalue_output(present.name, buffer)
        binding.bind_cpu_input("seqlens_k", self._last_position)
        binding.bind_cpu_input("total_sequence_length", self._total_length)
        return binding


class OrtDecoder:
    """An LM session; different arenas may be run from different threads at once."""

    def __init__(self, info: EngineInfo, session: ort.InferenceSession) -> None:
        """Wrap a loaded and checked session."""
        self.info = info
        self.name = info.name
        self.kv = _geometry(info)
        self.session = session
        self.width = _last_size(info, info.inputs, "inputs_embeds")
        self.output_name = info.outputs[0].name
        self.output_width = _last_size(info, info.outputs, self.output_name)
        self._input_names = {t.name for t in info.inputs}

    def new_arena(self, capacity: int | None = None) -> KvArena:
        """See ``Decoder.new_arena``. Raises EngineError for a capacity out of range."""
        tokens = self.kv.max_positions if capacity is None else capacity
        if not 1 <= tokens <= self.kv.max_positions:
            raise self._error(f"has no arena of {tokens} tokens, only 1 to {self.kv.max_positions}")
        return OrtArena(self, tokens)

    def hidden(self, arena: KvArena, embeds: F32) -> F32:
        """See ``Decoder.hidden``."""
        if self.output_name != "hidden":
            raise self._error("gives logits, not hidden states")
        return self._append(arena, embeds, _NO_ROWS, _NO_ROWS, len(embeds))

    def logits(
        self,
        arena: KvArena,
        embeds: F32,
        *,
        rows: I64 | None = None,
        plora_rows: I64 | None = None,
    ) -> F32:
        """See ``Decoder.logits``. No ``rows`` at all (an empty list) only fills the arena."""
        if self.output_name != "logits":
            raise self._error("gives hidden states, not logits")
        tokens = len(embeds)
        wanted = np.array([tokens - 1], np.int64) if rows is None else self._rows(rows, tokens)
        plora = _NO_ROWS if plora_rows is None else self._rows(plora_rows, tokens)
        if len(plora) and "plora_rows" not in self._input_names:
            raise self._error("has no Partial-LoRA")
        return self._append(arena, embeds, wanted, plora, len(wanted))

    def row_feeds(self, logit_rows: I64, plora_rows: I64) -> dict[str, I64]:
        """Those of the row inputs that this graph has."""
        feeds = {"logit_rows": logit_rows, "plora_rows": plora_rows}
        return {name: rows for name, rows in feeds.items() if name in self._input_names}

    def _append(self, arena: KvArena, embeds: F32, rows: I64, plora: I64, outputs: int) -> F32:
        if not isinstance(arena, OrtArena) or not arena.owned_by(self):
            raise self._error("was given a KV arena of another engine")
        if embeds.ndim != 2 or embeds.shape[1] != self.width or not len(embeds):
            raise self._error(f"takes embeds [S ≥ 1, {self.width}], not {list(embeds.shape)}")
        tokens = len(embeds)
        with arena.lock:
            arena.place(tokens)
            if tokens == 1 and outputs == 1 and not len(plora):
                arena.step_embeds[0] = embeds
                self._run(arena.step_binding)
                result: F32 = arena.step_output[0].copy()
            else:
                result = self._run_block(arena, embeds, rows, plora, outputs)
            arena.advance(tokens)
        return result

    def _run_block(self, arena: OrtArena, embeds: F32, rows: I64, plora: I64, outputs: int) -> F32:
        binding = arena.block_binding
        block = np.ascontiguousarray(embeds, np.float32)[None]
        result: F32 = np.empty((1, outputs, self.output_width), np.float32)
        binding.bind_cpu_input("inputs_embeds", block)
        for name, value in self.row_feeds(rows, plora).items():
            binding.bind_cpu_input(name, value)
        _bind_output(binding, self.output_name, result)
        self._run(binding)
        rows_out: F32 = result[0]
        return rows_out

    def _run(self, binding: Any) -> None:
        try:
            self.session.run_with_iobinding(binding)
        except Exception as e:
            raise run_error(self.name, e) from e

    def _rows(self, rows: I64, tokens: int) -> I64:
        chosen = np.ascontiguousarray(rows, np.int64)
        if chosen.ndim != 1 or (len(chosen) and not (0 <= chosen.min() <= chosen.max() < tokens)):
            raise self._error(f"was asked for rows outside its block of {tokens} tokens")
        return chosen

    def _error(self, what: str) -> EngineError:
        return EngineError(
            what,
            where=f"engine {self.name}",
            mend="Check the caller against omnilive.engine.interface.Decoder.",
        )


def _bind_output(binding: Any, name: str, array: npt.NDArray[np.float32]) -> None:
    binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))


def _last_size(info: EngineInfo, tensors: tuple[TensorInfo, ...], name: str) -> int:
    for tensor in tensors:
        if tensor.name == name and isinstance(tensor.shape[-1], int):
            return tensor.shape[-1]
    raise EngineError(
        f"records no width of {name}",
        where=f"engine {info.name}",
        mend="Rebuild the pack.",
    )
