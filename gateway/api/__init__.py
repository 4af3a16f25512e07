"""What the application's backend does, over HTTP: one method table, one dispatcher, no Redis."""
