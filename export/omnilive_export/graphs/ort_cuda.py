"""The ``ort`` dialect for NVIDIA GPUs: as the CPU's, but where CUDA has no kernel for float32."""

from __future__ import annotations

from omnilive_export.graphs.dialect import KvArena
from omnilive_export.graphs.ort_arena import OrtArena
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.specs import DecoderSpec


class OrtCudaGraph(OrtGraph):
    """A graph for ONNX Runtime's CUDA provider; the CPU's runs it as well."""

    def kv_arena(self, spec: DecoderSpec) -> KvArena:
        """See ``DialectGraph.kv_arena``: GroupQueryAttention is float16 on CUDA."""
        return OrtArena(self, spec, "float16")
