"""The dashboard at `/admin`: what workers do, rooms, one room, one user. Server-rendered; off without a key for it."""
