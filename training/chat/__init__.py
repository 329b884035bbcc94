"""Conversations: their format, their rows for fine-tuning, and talking to a model."""
