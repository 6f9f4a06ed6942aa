"""Media in: frames and audio blocks on one timeline."""
