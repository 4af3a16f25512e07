"""One worker's rooms: what was delivered to whom, and how a loss is found and mended."""
