"""Where records come from: WARC, WET, parquet, jsonl, crawl listings."""
