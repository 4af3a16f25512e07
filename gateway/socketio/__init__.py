"""python-socketio on top of the engine, strict where the Socket.IO v5 document is."""
