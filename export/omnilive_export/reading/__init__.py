"""Readers of checkpoints: configuration files and tensors. They never write."""
