"""The miniature of the whole model family: its checkpoint, its world, its spoken streams.

It imports nothing at package level, so that each command pays only for what it uses.
"""
