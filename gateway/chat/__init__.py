"""What people do: sessions, the five events, joining, and presence. Knows rooms and members, and nothing of Redis."""
