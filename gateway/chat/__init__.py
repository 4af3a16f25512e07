"""What people do: sessions, events, joining, and presence. Knows rooms and members, and nothing of Redis."""
