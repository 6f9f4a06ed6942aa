"""The onnxruntime backend on an NVIDIA GPU: what ``ort_backend`` loads engines with there.

Each engine runs on the stream of its lane, which onnxruntime is given. A run is handed to the
stream and not waited for: results stay on the device until somebody reads them, and another lane's
stream waits for them there. It never falls back to the CPU unnoticed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt
import onnxruntime as ort

from omnilive.backends.cuda import Stream
from omnilive.backends.cuda_lanes import DeviceLanes
from omnilive.backends.device_array import DeviceArray, Span, dense_bytes
from omnilive.backends.device_ticket import DeviceTicket, Lease, Reads
from omnilive.backends.staging import EngineInputs, Values, leases_of
from omnilive.engine.config import EngineConfig
from omnilive.engine.graph_io import INPUT, OUTPUT, check_io
from omnilive.engine.interface import Decoder, Engine
from omnilive.engine.manifest import EngineInfo
from omnilive.engine.ort_decoder import kv_inputs, kv_outputs
from omnilive.engine.ort_session import open_session, run_error, tensors
from omnilive.errors import EngineError, PackError, SetupError

PROVIDER = "CUDAExecutionProvider"
DEVICE, DEVICE_ID = "cuda", 0

RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
NO_SYNCHRONIZATION = "disable_synchronize_execution_providers"

SHAPE_OPERATORS = frozenset(
    {
        *("Shape", "Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Cast", "Reshape"),
        *("Constant", "Range", "Add", "Sub", "Mul", "Div", "Min", "Max"),
    }
)
"""Operators that onnxruntime itself keeps on the CPU where they compute shapes, a few integers."""

KV_DTYPE = "float16"
"""What CUDA's GroupQueryAttention takes; float32 has no kernel there."""


def load_engine(info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes) -> Engine:
    """See ``Backend.load_engine``.

    Raises:
        SetupError: this onnxruntime has no CUDA provider.
        EngineError: the GPU cannot be used, or part of the graph would run on the CPU.
        PackError: the graph's IO is not what the manifest records.
    """
    session = CudaSession(info, folder, config, lanes)
    check_io(info, folder, INPUT, tensors(session.session.get_inputs()), info.inputs)
    check_io(info, folder, OUTPUT, tensors(session.session.get_outputs()), info.outputs)
    return OrtCudaEngine(info, session)


def load_decoder(
    info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes
) -> Decoder:
    """See ``Backend.load_decoder``. Raises what ``load_engine`` raises."""
    from omnilive.backends.ort_cuda_decoder import OrtCudaDecoder

    if info.kv is not None and info.kv.dtype != KV_DTYPE:
        raise PackError(
            f"holds keys and values in {info.kv.dtype}, attention on the GPU takes {KV_DTYPE}",
            where=f"engine {info.name}",
            mend="Build the pack with --device cuda, or set engine.device = cpu.",
        )
    session = CudaSession(info, folder, config, lanes)
    inputs = tensors(session.session.get_inputs())
    outputs = tensors(session.session.get_outputs())
    check_io(info, folder, INPUT, inputs, (*info.inputs, *kv_inputs(info)))
    check_io(info, folder, OUTPUT, outputs, (*info.outputs, *kv_outputs(info)))
    return OrtCudaDecoder(info, session)


class CudaSession:
    """A session on its lane's stream; one run at a time, by whoever holds the lane's lock.

    Attributes:
        session: of onnxruntime.
        lane: all of its work goes to this one's stream.
    """

    def __init__(
        self, info: EngineInfo, folder: Path, config: EngineConfig, lanes: DeviceLanes
    ) -> None:
        """Load ``info``'s graph onto the GPU; raises what ``load_engine`` raises."""
        if PROVIDER not in ort.get_available_providers():
            raise SetupError(
                f"onnxruntime {ort.__version__} has no {PROVIDER}",
                where="engine.device = cuda",
                mend="pip uninstall onnxruntime && pip install onnxruntime-gpu, or use the CPU.",
            )
        self.name = info.name
        lane = lanes.lane_of(info.name)
        options = {
            "device_id": str(DEVICE_ID),
            "user_compute_stream": str(lane.stream.handle),
            # Inputs come in ever new lengths: neither try kernels for each nor hoard memory.
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
        }
        self.session = open_session(
            info,
            folder,
            config,
            providers=((PROVIDER, options), "CPUExecutionProvider"),
            entries={RECORD_PLACEMENT: "1"},
        )
        # After the session, as in every object here: what is set first is let go of first.
        self.lane = lane
        _check_placement(info, self.session)
        self._options = ort.RunOptions()
        self._options.add_run_config_entry(NO_SYNCHRONIZATION, "1")
        self._inputs = EngineInputs(lane)
        self._retired: deque[tuple[Any, Reads]] = deque()

    def run(self, binding: Any, feeds: Mapping[str, Values]) -> DeviceTicket:
        """Give the stream one run on ``feeds`` and on what is bound already.

        Raises:
            EngineError: onnxruntime refuses it.
        """
        retired = [self._retired.popleft() for _ in range(len(self._retired))]
        read_last = [ticket for _, reads in retired for ticket in reads.values()]

        def launch(_: Stream) -> None:
            # The stream waits for their last readers by now: the session may reuse their memory.
            retired.clear()
            for name, address in self._inputs.place(feeds).items():
                dtype, shape = feeds[name].dtype.type, feeds[name].shape
                binding.bind_input(name, DEVICE, DEVICE_ID, dtype, shape, address)
            try:
                self.session.run_with_iobinding(binding, self._options)
            except Exception as e:
                raise run_error(self.name, e) from e

        return self.lane.submit(launch, after=read_last, inputs=leases_of(feeds.values()))

    def taken(self, value: Any, dtype: str, ticket: DeviceTicket) -> DeviceArray:
        """An output that onnxruntime allocated in the run of ``ticket``, as an array."""
        shape = tuple(value.shape())
        lease = Lease(ticket, value, self._retire)
        span = Span(lease, int(value.data_ptr()), dense_bytes(shape, dtype))
        return DeviceArray([span], shape, dtype)

    def _retire(self, value: Any, reads: Reads) -> None:
        """Keep a value that nobody views any more until the next run: others may still read it."""
        self._retired.append((value, reads))


class OrtCudaEngine:
    """A stateless engine; runs of several threads wait for each other.

    Args:
        info: its record.
        session: its loaded and checked graph.
    """

    def __init__(self, info: EngineInfo, session: CudaSession) -> None:
        self._binding = session.session.io_binding()
        self._session = session
        self._dtypes = {t.name: t.dtype for t in info.outputs}
        self._inputs = {t.name: t.dtype for t in info.inputs}

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See ``Engine.run``; results lie on the device until they are read.

        Raises:
            EngineError: a feed is not what the graph takes.
        """
        wrong = {n for n, v in feeds.items() if self._inputs.get(n) != v.dtype}
        if wrong or set(feeds) != set(self._inputs):
            raise EngineError(
                f"takes {self._inputs}, was given { {n: str(v.dtype) for n, v in feeds.items()} }",
                where=f"engine {self._session.name}",
                mend="Check the caller against the manifest.",
            )
        with self._session.lane.lock:
            for name in self._dtypes:
                self._binding.bind_output(name, DEVICE, DEVICE_ID)
            ticket = self._session.run(self._binding, feeds)
            values = self._binding.get_outputs()
            found = {
                name: self._session.taken(value, dtype, ticket)
                for (name, dtype), value in zip(self._dtypes.items(), values, strict=True)
            }
            # Else the binding would hold the outputs until the next run.
            self._binding.clear_binding_outputs()
        return cast("dict[str, npt.NDArray[Any]]", found)


def _check_placement(info: EngineInfo, session: ort.InferenceSession) -> None:
    """Refuse a session that the CPU would run, all of it or an operator that computes.

    Raises:
        EngineError: naming what.
    """
    where = f"engine {info.name}"
    if session.get_providers()[0] != PROVIDER:
        raise EngineError(
            f"onnxruntime {ort.__version__} could not start its {PROVIDER} and took the CPU",
            where=where,
            mend="Check that the driver, CUDA and cuDNN are those this onnxruntime-gpu was built "
            "for: omnilive doctor names them. Or set engine.device = cpu.",
        )
    on_cpu = {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != PROVIDER
        for node in part.get_nodes()
    }
    slow = sorted(on_cpu - SHAPE_OPERATORS)
    if slow:
        raise EngineError(
            f"its {', '.join(slow)} would run on the CPU, with copies to it and back",
            where=where,
            mend="Build the pack with --device cuda, or set engine.device = cpu.",
        )
