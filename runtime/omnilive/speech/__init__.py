"""Answer text to sentences to audio on the stream's timeline."""
