"""`tokenmill crawl`: a polite crawler for small, named sites, which writes WARC files."""
