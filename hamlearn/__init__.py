"""hamlearn."""
