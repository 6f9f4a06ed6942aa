"""OmniLive Edge's exporter: a checkpoint in, an engine pack out.

It reads safetensors, builds graphs and writes weights one row block at a time. It never imports
torch: only the ``verify`` subpackage may, in a process of its own.
"""

import omnilive  # noqa: F401  # before onnxruntime, which it keeps from reporting
