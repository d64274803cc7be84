"""The editor's door: an HTTP and WebSocket server that runs graphs for the official ComfyUI frontend."""
