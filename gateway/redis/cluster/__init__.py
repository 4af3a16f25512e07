"""A Redis Cluster: slots, redirects, and the same surface as one primary."""
