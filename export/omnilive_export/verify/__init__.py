"""The judge of an engine pack: compares every engine with the PyTorch reference of its source.

Never imported by the export or runtime path; it needs the ``verify`` extra and a checkout.
"""
