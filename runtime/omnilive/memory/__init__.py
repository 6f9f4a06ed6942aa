"""Memory: frame features become clips, long-term memory, and the clips a question is about."""
