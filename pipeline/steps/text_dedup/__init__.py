"""Steps 3b and 3c, optional: documents to documents without the text that stands elsewhere."""
