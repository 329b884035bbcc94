"""Where records come from: WARC, WET and ARC archives, parquet and jsonl, crawl listings."""

from pipeline.sources.read import read_at, read_records

__all__ = ["read_at", "read_records"]
