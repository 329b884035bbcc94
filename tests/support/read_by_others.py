"""Run folders with every table in them, and what each of those tables holds: other libraries must read the same."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from warc_pages import Page, article, warc_member, write_warc

from pipeline.config import load_config
from pipeline.flow import build
from pipeline.tokens.export import export_tokens

CONFIG = """
extract: [{{main_text: {{engine: resiliparse}}}}]
filter: [gopher_quality, {{decontaminate: {{benchmarks: [{benchmark}], max_overlap: null}}}}]
dedup: {{scope: global}}
tokenize: {{stages: [pii], train_tokenizer: {{vocabulary_size: 300}}, tokens_per_shard: 500}}
run: {{isolate: false}}
"""
BARE = "dedup: null\ntokenize: {train_tokenizer: {vocabulary_size: 257}}\n"
QUESTION = "A miller grinds seven sacks of wheat before noon and twelve more after it, how many sacks?"
MAIL = "Write to jane.doe@mill.org or john.doe@mill.org, or call the server at 8.8.8.8."


TABLES = {
    **{f"{run} {table}": f"{run}/{table}/*.parquet" for run in ("full", "bare") for table in
       ("documents", "dropped", "quarantine")},
    "shard documents": "full/tokens/*.docs.parquet",
    "tokens": "exported/*.parquet",
    "matches": "full/contamination/matches.parquet",
    "items": "full/contamination/items.parquet",
}  # fmt: skip
"""Glob of the files of each table, in the folder of `make_runs`."""


def make_runs(folder: Path) -> None:
    """Two builds and an export.

    `full` is a run with every kind of table, some in several parts; `bare` one without quality stages, with nothing
    dropped or quarantined and no personal data.
    """
    html = article(2).replace("</main>", f"<p>{MAIL}</p><p>{QUESTION}</p></main>")
    short = Page(url="https://a.example/short", html="<p>Too short.</p>")
    damaged = bytearray(warc_member(Page(url="https://a.example/damaged", html=article(7))))
    damaged[-6] ^= 1  # its checksum
    write_warc(folder / "a.warc.gz", [Page(url="https://a.example/1", html=html), short])
    with (folder / "a.warc.gz").open("ab") as sink:
        sink.write(bytes(damaged))
    write_warc(
        folder / "b.warc.gz", [Page(url=f"https://b.example/{i}", html=article(n)) for i, n in enumerate((2, 4, 4))]
    )
    write_warc(folder / "c.warc.gz", [Page(url="https://c.example/404", status="404 Not Found")])
    (folder / "mill.jsonl").write_text(json.dumps({"id": "mill", "query": QUESTION}) + "\n", encoding="utf-8")
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(3)))
    _build(folder, "full", CONFIG.format(benchmark=folder / "mill.jsonl"), f"{folder}/*.warc.gz")
    _build(folder, "bare", BARE, f"{folder}/in.jsonl")
    export_tokens(folder / "full", folder / "exported", "parquet")


def rows_of(pattern: str) -> list[dict[str, object]]:
    """What the files of a table hold, as pyarrow reads them."""
    folder, _, name = pattern.rpartition("/")
    return [row for path in sorted(Path(folder).glob(name)) for row in pq.read_table(path).to_pylist()]


def _build(folder: Path, name: str, text: str, inputs: str) -> None:
    (folder / f"{name}.yaml").write_text(text)
    config = load_config(folder / f"{name}.yaml", inputs=[inputs], output=str(folder / name), local=True)
    build(config, quiet=True)
