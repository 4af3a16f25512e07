"""Things break while a ledger watches. See README.md."""
