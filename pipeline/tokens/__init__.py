"""Tokenizers, the global shuffle, shard assembly and exports."""
