"""The PyTorch reference of the model family: the judge of the engines, never a part of them.

Nothing in ``runtime/`` or in the export path imports it; ``omnilive_export.verify`` loads it by
path. Each module reads its dimensions from ``config.json`` and its weights from the checkpoint's
safetensors, strictly, and takes and gives NumPy arrays.
"""
