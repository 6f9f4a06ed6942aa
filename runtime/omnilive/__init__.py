"""OmniLive Edge: an edge-deployment runtime of InternLM-XComposer2.5-OmniLive."""

import os

__version__ = "0.1.0"

# From 1.29 on onnxruntime's wheels tell their maker which models run where, and keep an id of the
# device, unless this is in the environment before the library is first loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
