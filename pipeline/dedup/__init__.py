"""Shingles, MinHash, bands and components: arrays in, arrays out."""
