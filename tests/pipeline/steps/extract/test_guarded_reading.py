"""A stretch that keeps the reader busy is left out by name, and what lies behind it is read."""

import gzip
from pathlib import Path

import pytest
from warc_pages import Page, article, warc_member

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.engine.isolation import Blame, Unguarded
from pipeline.flow import build
from pipeline.sources.listing import expand
from pipeline.sources.record import Gap, Record
from pipeline.sources.screen import Screen
from pipeline.steps.extract.guarded_reading import watched_items
from pipeline.steps.extract.reading import Position, Reading
from pipeline.tools.verify import verify

CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
tokenize: {train_tokenizer: {vocabulary_size: 300}}
run: {page_limits: {read_seconds: 0.3}}
"""


def run(folder: Path, out: Path) -> RunRecord:
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/*.warc.gz"], output=str(out), local=True)
    return build(config, quiet=True)


def test_a_busy_stretch_costs_itself(tmp_path):
    pages = [warc_member(Page(url=f"https://a.example/{i}", html=article(i))) for i in range(4)]
    busy = gzip.compress(b"WARC/1.0\r\nx\r\n" * 1_500_000, 1)  # seconds of work, and nothing in it
    (tmp_path / "a.warc.gz").write_bytes(pages[0] + pages[1] + busy + pages[2] + pages[3])
    (tmp_path / "c.yaml").write_text(CONFIG)
    record = run(tmp_path, tmp_path / "out")
    assert record.totals.gaps == {"reader_timeout": 1}
    assert (record.totals.read, record.totals.kept) == (4, 4)
    assert [check.name for check in verify(tmp_path / "out") if not check.ok] == []


class Script(Unguarded):
    """Says of some readings that they must not be tried again."""

    def __init__(self, blames: dict[int, Blame]) -> None:
        self.blames, self.number = blames, 0

    def reading(self) -> Blame | None:
        self.number += 1
        return self.blames.get(self.number)


@pytest.mark.parametrize(
    ("final", "urls", "end"), [(False, ["0", "2", "3"], 2), (True, ["0"], 4)]
)  # fmt: skip
def test_reading_goes_on_behind_the_place_or_not_at_all(tmp_path, final, urls, end):
    pages = [warc_member(Page(url=f"https://a.example/{i}", html=article(i))) for i in range(4)]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(pages))
    (source,) = expand([str(tmp_path / "a.warc.gz")])
    begin = Script({2: Blame("crash: SIGSEGV", 0.1, final=final)})
    items = [item for _, item in watched_items(source, Reading(), Screen(), Position(), begin)]
    assert [item.url.rpartition("/")[2] for item in items if isinstance(item, Record)] == urls
    [gap] = [item for item in items if isinstance(item, Gap)]
    assert (gap.cause, gap.warc_offset) == ("reader_crash: SIGSEGV", len(pages[0]))
    assert gap.warc_offset + gap.length == sum(map(len, pages[:end]))
