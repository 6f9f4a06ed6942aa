"""The service: sessions behind HTTP and WebSocket. It holds no model state of its own."""
