"""Step 4: documents to token shards."""
