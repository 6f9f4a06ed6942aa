"""What the quality benchmark measures, one module per sense, all of it through the engines."""
