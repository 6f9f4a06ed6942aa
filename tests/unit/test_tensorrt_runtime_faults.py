"""Faults planted in the TensorRT backend, each caught on the fake device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from omnilive.engine.config import EngineConfig
from tensorrt_fake import ContractError
from tensorrt_machine import (
    VERSIONS,
    Machine,
    Plans,
    close,
    embeddings,
    fresh_lanes,
    machine_of,
    make_plans,
    whole,
    with_fault,
)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    return make_plans(tmp_path_factory.mktemp("plans"))


@pytest.fixture
def one_machine(plans: Plans, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from machine_of(VERSIONS[0], plans, monkeypatch)


FAULTS: dict[str, tuple[str, str, str, str]] = {
    "an address that is never set": (
        "tensorrt_decoder",
        "        for context in self._contexts:\n            context.bind(name, buffer.address)\n",
        "",
        "has no address",
    ),
    "an arena that is bound without its shape": (
        "tensorrt_decoder",
        "                context.shape(name, arena.shape)\n",
        "",
        "has no shape",
    ),
    "a capture before the first run": (
        "tensorrt_decoder",
        "            context.enqueue()\n            if profile",
        "            if profile",
        "captured before the first",
    ),
    "an allocation in a capture": (
        "tensorrt_decoder",
        "stream.capture(context.enqueue)",
        "stream.capture(lambda: [context.enqueue(), DeviceBuffer(8)])",
        "an allocation while",
    ),
    "a wait in a capture": (
        "tensorrt_decoder",
        "stream.capture(context.enqueue)",
        "stream.capture(lambda: [context.enqueue(), stream.synchronize()])",
        "a wait while",
    ),
    "memory that is given back too early": (
        "cuda",
        "weakref.finalize(self, cudart.cudaFree, self.address)",
        "cudart.cudaFree(self.address)",
        "no device memory",
    ),
    "a profile that is not set": (
        "tensorrt_runtime",
        "if not context.set_optimization_profile_async(profile, stream.handle):",
        "if profile < 0:",
        "before a profile",
    ),
    "a context that holds memory for every profile": (
        "tensorrt_runtime",
        "create_execution_context(strategy)",
        "create_execution_context()",
        "memory for profiles",
    ),
    "an upload that makes the host wait": (
        "cuda",
        "self._copy(target, block.address + first, count, kind)",
        "self._copy(target, block.address + (1 << 40), count, kind)",
        "pageable",
    ),
    "an output too small for its block": (
        "tensorrt_decoder",
        "self._bind(self.checks.output, DeviceBuffer(size))",
        "self._bind(self.checks.output, DeviceBuffer(4))",
        "no device memory",
    ),
    "a result that is read before its ticket": (
        "device_ticket",
        "        self.ticket.wait()\n",
        "",
        "differs",
    ),
    "a result that is overwritten by the next step": (
        "tensorrt_decoder",
        "            stream.copy(buffer.address, self._result.address, size)\n",
        "            buffer.address = self._result.address\n",
        "differs",
    ),
    "keys and values that are not written": (
        "tensorrt_arena",
        "        for buffer, source in zip(self.buffers, new, strict=True):",
        "        for buffer, source in ():",
        "differs",
    ),
    "a wrong pitch": (
        "tensorrt_arena",
        "                self.bucket * self._row,\n                source.address,",
        "                tokens * self._row,\n                source.address,",
        "differs",
    ),
    "an arena that is not cleared": (
        "tensorrt_arena",
        "            stream.clear(buffer)",
        "            pass",
        "differs",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(
    one_machine: Machine, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, right, wrong, reason = FAULTS[fault]
    x = embeddings(256, 5)
    expected = whole(one_machine, "mem_lm", x)
    with (
        pytest.raises((ContractError, ValueError, AssertionError), match=reason),
        ExitStack() as undone,
    ):
        backend = with_fault(part, right, wrong)
        # What is given to the device in vain must not be done when memory is freed later.
        undone.callback(
            lambda: [queue.clear() for queue in one_machine.device.cuda.queues.values()]
        )
        decoder = backend.load_decoder(
            one_machine.records["mem_lm"], one_machine.folder, EngineConfig(), fresh_lanes()
        )
        arena = decoder.new_arena(300)
        found = [decoder.hidden(arena, x[a:b]) for a, b in ((0, 3), (3, 4), (4, 5))]
        # The last is read first: by then every step is done, and what is overwritten is.
        read = [np.asarray(values) for values in reversed(found)]
        assert close(np.concatenate(read[::-1]), expected), "differs"


BETWEEN_LANES = {
    "": ("", "", ""),
    "an output that is read before it is written": (
        "cuda_lanes",
        "(*after, *(r.ticket for r in read))",
        "after",
    ),
    "readers nobody knows of": ("cuda_lanes", "lease.reads[self] = ticket", "pass"),
    "memory that is reused before its last reader": (
        "tensorrt_engine",
        "after=[ticket for _, reads in taken.values() for ticket in reads.values()]",
        "after=[]",
    ),
    "memory that is not in use for as long as somebody views it": (
        "output_memory",
        "Lease(ticket, buffer, self._give_back)",
        "self._give_back(buffer, {}) or Lease(ticket, buffer, lambda *_: None)",
    ),
}


@pytest.mark.parametrize("fault", BETWEEN_LANES)
def test_one_lane_reads_what_another_wrote_without_the_host(
    one_machine: Machine, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine's output goes to another lane's decoder, and its memory is then used again."""
    cuda, folder = one_machine.device.cuda, one_machine.folder
    given = [embeddings(256, 8) * scale for scale in (1, 2)]
    mapped = [one_machine.session("mem_to_vlm").run(None, {"memory": x})[0] for x in given]
    expected = (whole(one_machine, "mem_lm", mapped[0]), mapped[1])
    backend = with_fault(*BETWEEN_LANES[fault]) if fault else one_machine.backend
    lanes = fresh_lanes() if fault else one_machine.lanes
    engine, decoder = (
        load(one_machine.records[name], folder, EngineConfig(), lanes)
        for load, name in (
            (backend.load_engine, "mem_to_vlm"),
            (backend.load_decoder, "mem_lm"),
        )
    )
    arena = decoder.new_arena(300)
    right = []
    for order in ((0, 1), (1, 0)):
        arena.truncate(0)
        synchronizations, waits = cuda.synchronizations, cuda.waits
        first = engine.run({"memory": given[0]})["embeds"]
        hidden = [decoder.hidden(arena, first[a:b]) for a, b in ((0, 5), (5, 8))]
        del first
        results = (np.concatenate(hidden), engine.run({"memory": given[1]})["embeds"])
        assert cuda.synchronizations == synchronizations
        right += [close(np.asarray(results[i]), expected[i]) for i in order]
        if not fault:
            assert cuda.waits > waits
    assert all(right) is not bool(fault)
    for queue in cuda.queues.values():
        queue.clear()
