"""The four steps, which meet on disk; each reads what the one before committed."""
