"""From a transcript and retrieved memory to the tokens of an answer."""
