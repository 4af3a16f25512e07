"""The protocols to the letter: Engine.IO v4, Socket.IO v5 and RFC 6455, seen from outside by raw clients."""
