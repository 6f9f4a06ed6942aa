"""What ``omnilive.lanes`` is made of. It is imported from there."""
