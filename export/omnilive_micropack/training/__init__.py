"""Training of the miniature, the only part of it that imports torch: one module per stage.

It imports nothing at package level, so that a stage pays only for itself.
"""
