"""Steps 0 and 1: inputs to documents with text."""
