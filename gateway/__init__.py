"""The chat gateway: Socket.IO rooms with one order for everybody, over many stateless workers and one Redis."""
