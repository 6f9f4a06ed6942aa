"""onnxruntime-gpu without a GPU: its CUDA provider on a fake CUDA, computing on the CPU.

Options, run options and bindings are onnxruntime's own or are held against its signatures. It
refuses what onnxruntime leaves undefined: runs side by side, memory that is not there, host arrays
where the device reads. Work waits in the stream until somebody waits for it, memory an output gave
up is overwritten by what its session does next: a missing fence gives wrong values.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import omnilive.engine.ort_session
from omnilive.engine.config import EngineConfig
from omnilive.engine.kv_layout import LAST_POSITION, TOTAL_LENGTH, past_name
from omnilive.engine.manifest import Manifest
from tensorrt_fake import ContractError
from tensorrt_fake_cuda import FakeCuda, cudaMemcpyKind

PACKAGE = "omnilive.backends"
PARTS = (
    *("cuda", "device_ticket", "device_array", "staging", "keep_alive", "cuda_lanes"),
    *("ort_cuda", "ort_cuda_decoder"),
)
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
POISON = 0xAA


class TracedCuda(FakeCuda):
    """A CUDA that writes down what crosses between host and device, and who waits for whom.

    Attributes:
        trace: ``upload``, ``fetch``, ``synchronize``, ``wait`` and ``run NAME`` in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trace: list[str] = []

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: Any, stream: int) -> Any:  # noqa: N802
        names = {
            cudaMemcpyKind.cudaMemcpyHostToDevice: "upload",
            cudaMemcpyKind.cudaMemcpyDeviceToHost: "fetch",
        }
        if kind in names:
            self.trace.append(names[kind])
        return super().cudaMemcpyAsync(dst, src, count, kind, stream)

    def cudaStreamSynchronize(self, handle: int) -> Any:  # noqa: N802
        self.trace.append("synchronize")
        return super().cudaStreamSynchronize(handle)

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> Any:  # noqa: N802
        self.trace.append("wait")
        return super().cudaStreamWaitEvent(stream, event, flags)


@dataclass
class Bound:
    """What a binding holds for one name."""

    shape: tuple[int, ...] = ()
    dtype: Any = None
    address: int | None = None
    host: np.ndarray | None = None


class FakeValue:
    """An output that onnxruntime allocated."""

    def __init__(self, session: FakeSession, shape: tuple[int, ...], nbytes: int) -> None:
        self._shape = shape
        cuda = session.cuda
        address = cuda.cudaMalloc(max(1, nbytes))[1]
        self._address = address

        def give_up() -> None:
            # The session's allocator hands the memory to what this stream does next.
            cuda.give(session.stream, lambda: cuda.memory[address].fill(POISON))

        weakref.finalize(self, give_up)

    def shape(self) -> list[int]:
        """As onnxruntime gives it."""
        return list(self._shape)

    def data_ptr(self) -> int:
        """Its address."""
        return self._address


class FakeBinding:
    """``IOBinding``, its arguments held against onnxruntime's."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.inputs: dict[str, Bound] = {}
        self.outputs: dict[str, Bound] = {}
        self.values: dict[str, FakeValue] = {}

    def bind_input(self, *args: Any, **kwargs: Any) -> None:
        """A device address."""
        given = _arguments("bind_input", args, kwargs)
        self.inputs[given["name"]] = self._placed(given)

    def bind_output(self, *args: Any, **kwargs: Any) -> None:
        """A device address, or memory of the session's own."""
        given = _arguments("bind_output", args, kwargs)
        self.values.pop(given["name"], None)
        if given.get("buffer_ptr") is None:
            if given["device_type"] != "cuda":
                raise ContractError("an output that is copied to the host")
            self.outputs[given["name"]] = Bound()
        else:
            self.outputs[given["name"]] = self._placed(given)

    def bind_cpu_input(self, name: str, arr_on_cpu: np.ndarray) -> None:
        """A host array; only what attention reads there may be one."""
        if name != TOTAL_LENGTH:
            raise ContractError(f"{name} is copied to the device at every run")
        self.inputs[name] = Bound(host=arr_on_cpu)

    def get_outputs(self) -> list[Any]:
        """The outputs of the last run, in the order they were bound."""
        return [self.values.get(name) for name in self.outputs]

    def clear_binding_outputs(self) -> None:
        """Let go of them."""
        self.outputs.clear()
        self.values.clear()

    def _placed(self, given: dict[str, Any]) -> Bound:
        if given["device_type"] != "cuda":
            raise ContractError(f"{given['name']} is bound where the device cannot read it")
        shape = tuple(int(size) for size in given["shape"])
        dtype = np.dtype(given["element_type"])
        self.session.cuda.at(given["buffer_ptr"], int(np.prod(shape)) * dtype.itemsize)
        return Bound(shape, dtype, given["buffer_ptr"])


def _arguments(method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(getattr(ort.IOBinding, method)).bind(None, *args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


class FakeSession:
    """``InferenceSession`` with a CUDA provider; the graph is computed by the CPU's."""

    def __init__(self, world: FakeOrt, path: str, options: Any, providers: list[Any]) -> None:
        self.cuda, self.world = world.cuda, world
        self.name = Path(path).parent.name
        chosen = dict(p if isinstance(p, tuple) else (p, {}) for p in providers)
        self.cpu_only = CUDA not in chosen or world.no_driver
        self.stream = int(chosen.get(CUDA, {}).get("user_compute_stream", 0))
        if not self.cpu_only and self.stream not in self.cuda.queues:
            raise ContractError("the session was given no stream of ours")
        recorded = options.get_session_config_entry("session.record_ep_graph_assignment_info")
        self.records_placement = recorded == "1"
        self.real = ort.InferenceSession(path, options, providers=[CPU])
        self.running = False

    def get_inputs(self) -> Any:
        """The graph's."""
        return self.real.get_inputs()

    def get_outputs(self) -> Any:
        """The graph's."""
        return self.real.get_outputs()

    def get_providers(self) -> list[str]:
        """CUDA's first, unless it could not be started."""
        return [CPU] if self.cpu_only else [CUDA, CPU]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Every node on CUDA but those that compute shapes, and what the world leaves out."""
        if not self.records_placement:
            raise ContractError("placement was not recorded")
        found = []
        for part in self.real.get_provider_graph_assignment_info():
            nodes = part.get_nodes()
            on_cpu = {node.op_type for node in nodes} & {"Shape", *self.world.no_kernel}
            found.append(
                SimpleNamespace(ep_name=CPU if on_cpu else CUDA, get_nodes=lambda n=nodes: n)
            )
        return found

    def io_binding(self) -> FakeBinding:
        """A new one."""
        return FakeBinding(self)

    def run_with_iobinding(self, iobinding: FakeBinding, run_options: Any = None) -> None:
        """Give the stream one run."""
        if self.running:
            raise ContractError("two runs of a session side by side")
        self.running = True
        try:
            if self.world.during_run is not None:
                self.world.during_run(self)
            self._run(iobinding)
            key = "disable_synchronize_execution_providers"
            if run_options is None or run_options.get_run_config_entry(key) != "1":
                self.cuda.cudaStreamSynchronize(self.stream)
        finally:
            self.running = False

    def _run(self, binding: FakeBinding) -> None:
        self.cuda.trace.append(f"run {self.name}")
        missing = {i.name for i in self.real.get_inputs()} - set(binding.inputs)
        if missing:
            raise ContractError(f"inputs {missing} are not bound")
        # Host inputs are read now, what lies on the device when the stream comes to it.
        inputs = {
            name: Bound(b.shape, b.dtype, b.address, None if b.host is None else b.host.copy())
            for name, b in binding.inputs.items()
        }
        names = list(binding.outputs)
        fresh = [name for name in names if binding.outputs[name].address is None]
        if fresh:
            for name, values in zip(fresh, self._zeros(inputs, fresh), strict=True):
                binding.values[name] = FakeValue(self, values.shape, values.nbytes)
        targets = {name: binding.outputs[name].address for name in names}
        targets |= {name: binding.values[name].data_ptr() for name in fresh}
        for layer in range(len([n for n in inputs if n.endswith(".key")])):
            for part in ("key", "value"):
                past = past_name(layer, part)
                if inputs[past].address != targets[past.replace("past_key_values", "present")]:
                    raise ContractError("keys and values are copied at every run")

        def compute() -> None:
            feeds = {name: self._read(b) for name, b in inputs.items()}
            for name, values in zip(names, self.real.run(names, feeds), strict=True):
                raw = np.frombuffer(values.tobytes(), np.uint8)
                np.copyto(self.cuda.at(targets[name], len(raw)), raw)

        self.cuda.give(self.stream, compute)

    def _read(self, bound: Bound) -> np.ndarray:
        if bound.host is not None:
            return bound.host
        size = int(np.prod(bound.shape)) * bound.dtype.itemsize
        return self.cuda.at(bound.address, size).view(bound.dtype).reshape(bound.shape)

    def _zeros(self, inputs: dict[str, Bound], names: list[str]) -> list[np.ndarray]:
        """Outputs of as large inputs, for their shapes."""
        feeds = {
            name: np.zeros(b.shape, b.dtype) if b.host is None else b.host
            for name, b in inputs.items()
        }
        if TOTAL_LENGTH in feeds:
            feeds[LAST_POSITION] = feeds[TOTAL_LENGTH].reshape(1) - 1
        return self.real.run(names, feeds)


@dataclass
class FakeOrt:
    """The module ``onnxruntime``.

    Attributes:
        no_driver: whether the provider cannot be started, so that onnxruntime takes the CPU.
        no_kernel: operators that CUDA has none for.
        available: what the package was built with.
        during_run: called inside each run.
    """

    cuda: TracedCuda
    no_driver: bool = False
    no_kernel: set[str] = field(default_factory=set)
    available: tuple[str, ...] = (CUDA, CPU)
    during_run: Any = None

    __version__ = ort.__version__
    SessionOptions = ort.SessionOptions
    ExecutionMode = ort.ExecutionMode
    RunOptions = ort.RunOptions

    def get_available_providers(self) -> list[str]:
        """What the package was built with."""
        return list(self.available)

    def InferenceSession(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        """A session, its arguments held against onnxruntime's; the CPU's own where it is asked."""
        signature = inspect.signature(ort.InferenceSession.__init__)
        given = signature.bind(None, *args, **kwargs).arguments
        if not any(isinstance(provider, tuple) for provider in given["providers"]):
            return ort.InferenceSession(*args, **kwargs)
        return FakeSession(self, given["path_or_bytes"], given["sess_options"], given["providers"])


@dataclass
class Machine:
    """The backend on the fake, and a pack for it."""

    backend: ModuleType
    lanes: Any
    ort: FakeOrt
    folder: Path
    manifest: Manifest

    @property
    def cuda(self) -> TracedCuda:
        """The fake device."""
        return self.ort.cuda

    def engine(self, name: str) -> Any:
        """A loaded stateless engine."""
        config = EngineConfig(threads=1, device="cuda")
        return self.backend.load_engine(
            self.manifest.engines[name], self.folder, config, self.lanes
        )

    def decoder(self, name: str) -> Any:
        """A loaded decoder."""
        config = EngineConfig(threads=1, device="cuda")
        return self.backend.load_decoder(
            self.manifest.engines[name], self.folder, config, self.lanes
        )


@contextmanager
def machine(
    folder: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, fault: Any = None
) -> Iterator[Machine]:
    """The backend on a fresh fake, with a pack built for CUDA; ``fault`` as for ``loaded``."""
    with loaded(monkeypatch, fault) as (fake, modules):
        lanes = modules["cuda_lanes"].DeviceLanes()
        yield Machine(modules["ort_cuda"], lanes, fake, folder, manifest)
        lanes.close()


@contextmanager
def loaded(
    monkeypatch: pytest.MonkeyPatch, fault: Any = None
) -> Iterator[tuple[FakeOrt, dict[str, ModuleType]]]:
    """A fresh fake, and the parts of the backend loaded on it, by name.

    Args:
        monkeypatch: undone at the end.
        fault: (part, right, wrong): a place of the source of a part that is changed.
    """
    fake = FakeOrt(TracedCuda())
    bindings, package = ModuleType("cuda.bindings"), ModuleType("cuda")
    bindings.runtime, package.bindings = fake.cuda, bindings  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "cuda", package)
        patched.setitem(sys.modules, "cuda.bindings", bindings)
        patched.setitem(sys.modules, "cuda.bindings.runtime", fake.cuda)
        patched.setattr(omnilive.engine.ort_session, "ort", fake)
        for part in PARTS:
            patched.delitem(sys.modules, f"{PACKAGE}.{part}", raising=False)
        for part in PARTS:
            _load(part, fault)
            module = sys.modules[f"{PACKAGE}.{part}"]
            if hasattr(module, "ort"):
                patched.setattr(module, "ort", fake)
        try:
            yield fake, {part: sys.modules[f"{PACKAGE}.{part}"] for part in PARTS}
        finally:
            # A planted fault may leave copies to host memory that is gone by now.
            for queue in fake.cuda.queues.values():
                queue.clear()
            for part in PARTS:
                sys.modules.pop(f"{PACKAGE}.{part}", None)


def _load(part: str, fault: Any) -> None:
    name = f"{PACKAGE}.{part}"
    if fault is None or fault[0] != part:
        importlib.import_module(name)
        return
    _, right, wrong = fault
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text()
    assert source.count(right) == 1, right
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(source.replace(right, wrong), spec.origin, "exec"), module.__dict__)
