"""WARC and ARC archives: FastWARC where a file is sound, our own reader where it is not."""
