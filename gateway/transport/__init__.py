"""Engine.IO: sessions over polling and WebSocket, under python-engineio's surface."""
