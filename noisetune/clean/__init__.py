"""Label errors in images that somebody has: read, looked at by networks, ranked, and shown."""
