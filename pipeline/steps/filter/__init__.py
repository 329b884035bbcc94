"""Step 2: documents to documents that read like prose."""
