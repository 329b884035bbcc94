"""tokenmill's data half: WARC files in, token shards out.

    sources -> s1 extract -> s2 filter -> s3 dedup -> s4 tokenize -> shards

Read `flow.py` first: it is the whole path on one page. Nothing is imported here, so that
`pipeline.contract` stays usable on a machine without Ray or any extraction library.
"""

__version__ = "0.1.0"
