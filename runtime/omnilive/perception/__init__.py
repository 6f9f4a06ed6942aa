"""Frames to features, audio to utterances, utterances to words."""
