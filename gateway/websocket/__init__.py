"""The WebSocket wire (RFC 6455 and 7692) as functions of bytes: no I/O, no clock."""
