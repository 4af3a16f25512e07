"""Webhooks: what happens in rooms is posted to the application (docs/webhooks.md)."""
