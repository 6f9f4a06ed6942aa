"""Runs a pack's decoders with the inputs of their linears given out, and adds those up.

The pack answers as it always does; it never changes a value.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from omnilive.engine.config import EngineConfig
from omnilive.engine.interface import Decoder
from omnilive.engine.manifest import EngineInfo
from omnilive.engine.ort_decoder import OrtDecoder
from omnilive.engine.pack import EnginePack
from omnilive_export.quantizing.moments import F32, MomentSum, write_calibration

_BLOCK_WEIGHT = re.compile(r"(layers\.\d+\.\w+\.weight)(\.q)?")
"""Initializers of decoder blocks: floats, or the codes of MatMulNBits."""

_PRODUCTS = ("MatMul", "MatMulNBits")


class ObservedPack(EnginePack):
    """A pack whose decoders are watched. Its backend is ``ort``."""

    def __init__(self, pack: EnginePack, config: EngineConfig) -> None:
        """Watch the decoders of an open pack; its other parts are opened again."""
        super().__init__(pack.path, pack.manifest, config, pack.calibration)
        self._engine_config = config
        self._observers: dict[str, _Observer] = {}

    def decoder(self, name: str) -> Decoder:
        """See ``EnginePack.decoder``."""
        info = self._info(name, decoder=True)
        return self._once(name, lambda: self._observed(info))

    def write(self, path: Path, provenance: Mapping[str, Any]) -> dict[str, int]:
        """Write the statistics of all that was run.

        Args:
            path: the file.
            provenance: what was run; the rows seen are added.

        Returns:
            Engine → the number of rows its linears saw.
        """
        inputs: dict[str, F32] = {}
        weights: dict[str, str] = {}
        rows: dict[str, int] = {}
        for engine, observer in sorted(self._observers.items()):
            rows[engine] = max((total.count for total in observer.sums.values()), default=0)
            for value, total in observer.sums.items():
                inputs[f"{engine}/{value}"] = total.mean()
            for weight, value in observer.values.items():
                if value in observer.sums:
                    weights[f"{engine}/{weight}"] = f"{engine}/{value}"
        write_calibration(path, inputs, weights, {**provenance, "rows": rows})
        return rows

    def _observed(self, info: EngineInfo) -> Decoder:
        model = onnx.load(str(self.path / info.model), load_external_data=False)
        values = linear_inputs(model)
        for value in dict.fromkeys(values.values()):
            model.graph.output.add(name=value)
        session = _session(model, (self.path / info.model).parent, self._engine_config)
        self._observers[info.name] = observer = _Observer(session, values)
        return OrtDecoder(info, observer)


def linear_inputs(model: onnx.ModelProto) -> dict[str, str]:
    """Name of each weight of a decoder's blocks → name of the value it is multiplied with."""
    found = {}
    for node in model.graph.node:
        match = node.op_type in _PRODUCTS and _BLOCK_WEIGHT.fullmatch(node.input[1])
        if match:
            found[match[1]] = node.input[0]
    return found


class _Observer:
    """An inference session that takes note of some values whenever it runs."""

    def __init__(self, session: ort.InferenceSession, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.sums: dict[str, MomentSum] = {}
        self._session = session
        self._watched = tuple(dict.fromkeys(values.values()))
        self._lock = threading.Lock()

    def io_binding(self) -> _Binding:
        """See ``InferenceSession``."""
        return _Binding(self._session.io_binding())

    def run_with_iobinding(self, binding: _Binding) -> None:
        """See ``InferenceSession``."""
        for value in self._watched:
            binding.bind_output(value)
        self._session.run_with_iobinding(binding.inner)
        outputs = binding.inner.get_outputs()
        with self._lock:
            for value in self._watched:
                rows = outputs[binding.outputs.index(value)].numpy()
                rows = rows.reshape(-1, rows.shape[-1])
                total = self.sums.setdefault(value, MomentSum(rows.shape[1]))
                total.add(np.asarray(rows, np.float32))


class _Binding:
    """An IO binding that knows in which order its outputs were bound."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.outputs: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def bind_output(self, name: str) -> None:
        """Let the session allocate this output."""
        self._note(name)
        self.inner.bind_output(name)

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        """See ``IOBinding``."""
        self._note(name)
        self.inner.bind_ortvalue_output(name, value)

    def _note(self, name: str) -> None:
        if name not in self.outputs:
            self.outputs.append(name)


def _session(model: onnx.ModelProto, folder: Path, config: EngineConfig) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
