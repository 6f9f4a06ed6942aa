"""The TensorRT backend of the exporter: its dialect's choices and the builder of engines."""
