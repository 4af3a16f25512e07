"""Floor 2: how bytes travel. From sockets to the store and back to every member."""
