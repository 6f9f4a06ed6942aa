"""OmniLive Edge: an edge-deployment runtime of InternLM-XComposer2.5-OmniLive."""

__version__ = "0.1.0"
