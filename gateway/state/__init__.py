"""Floor 1: what is true beyond one worker. Knows Redis and nothing of clients."""
