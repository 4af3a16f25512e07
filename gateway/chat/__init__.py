"""Floor 3: what people can do. Knows rooms and members, and nothing of Redis."""
