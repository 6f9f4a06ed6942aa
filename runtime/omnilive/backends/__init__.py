"""Inference backends that need a device library of their own; loaded only when a pack asks."""
