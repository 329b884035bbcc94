import collections
import contextlib
import json

import pytest

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.shards import open_shards
from training import checkpoint, pretrain
from training.config import ParallelConfig, load_config
from training.data.corpus import Span, Windows
from training.run import train
from training.runtime import distributed
from training.tools import lineage


@pytest.fixture(scope="module")
def run(tokens, tmp_path_factory):
    """The folder of a run of 40 steps of 3 sequences, more than two epochs; training itself is cut short."""
    folder = tmp_path_factory.mktemp("lineage")
    config = folder / "config.yaml"
    tree = {
        "data": {"tokens": tokens.name},  # relative: a run is looked at from other folders, too
        "batch": {"steps": 40, "tokens": 3 * 256},
        "run": {"output": str(folder / "run"), "tensorboard": False, "sample_every": None},
        "model": {"context_length": 256, "num_layers": 1, "hidden_size": 16, "num_heads": 2},
        "optimizer": {"warmup_steps": 0},
        "validation": {"every": None},
    }
    config.write_text(json.dumps(tree))
    world = distributed.initialize(ParallelConfig(device="cpu"))
    try:
        with contextlib.chdir(tokens.parent):
            train(pretrain.pretraining_run(load_config(config)), world)
    finally:
        distributed.shut_down()
    return folder / "run"


def test_a_step_leads_to_the_documents_it_read(run, tokens):
    readings = list(lineage.Lineage(run).documents_of_step(7))
    shards = {shard.path.name: shard for shard in open_shards(tokens).shards}
    covered = collections.Counter()
    for reading in readings:
        assert reading.step == 7
        covered[reading.sequence] += reading.tokens
        shard = shards[reading.shard]
        row = shard.docs().slice(shard.document_at(reading.start), 1).to_pylist()[0]
        assert (reading.id, reading.url, reading.warc_offset) == (row["id"], row["url"], row["warc_offset"])
    assert covered == {0: 256, 1: 256, 2: 256}


def test_a_page_leads_to_the_steps_that_read_it(run):
    found = lineage.Lineage(run)
    url = next(found.documents_of_step(7)).url
    by_page = list(found.readings_of_pages(url.__eq__))
    by_step = [reading for step in range(1, 41) for reading in found.documents_of_step(step) if reading.url == url]
    assert by_page == by_step
    assert len({reading.step for reading in by_page}) >= 2  # read again in the second epoch


def test_the_tokens_of_a_page_are_read_once_in_an_epoch(run, tokens):
    found = lineage.Lineage(run)
    windows = found._data.windows[0]
    steps = -(-len(windows) // 3)
    per_page = collections.Counter()
    for step in range(1, steps):
        for reading in found.documents_of_step(step):
            per_page[reading.id] += reading.tokens
    lengths = {row["id"]: row["length"] for shard in open_shards(tokens).shards for row in shard.docs().to_pylist()}
    assert all(count <= lengths[name] for name, count in per_page.items())


def test_the_command_prints_a_line_for_each_reading(run, capsys):
    assert lineage.main([str(run), "--step", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["step"] for row in rows} == {1}
    assert lineage.main([str(run), "--domain", "site.example"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > len(rows)
    assert lineage.main([str(run), "--url", "https://nowhere.example/"]) == 0
    assert capsys.readouterr().out == ""
    assert lineage.main([str(run), "--step", "41"]) == 2
    assert "--step: the run has steps 1 to 40, got 41" in capsys.readouterr().err


def test_steps_are_counted_from_one(run):
    with pytest.raises(ConfigError, match="got 0"):
        list(lineage.Lineage(run).documents_of_step(0))


def test_other_shards_are_refused(run, tmp_path, write_tokens):
    other = write_tokens(tmp_path / "other", ["some text " * 200])
    path = checkpoint.find(run)
    tree = json.loads((path / "config.json").read_text())
    copy = tmp_path / "step-00000040"
    copy.mkdir()
    for file in path.iterdir():
        (copy / file.name).symlink_to(file)
    (copy / "config.json").unlink()
    text = json.dumps(tree | {"data": tree["data"] | {"tokens": str(other)}})
    (copy / "config.json").write_text(text.ljust((path / "config.json").stat().st_size))
    manifest = json.loads((copy / "checkpoint.json").read_text())
    manifest["files"] = {"config.json": {"bytes": (copy / "config.json").stat().st_size, "sha256": ""}}
    (copy / "checkpoint.json").unlink()
    (copy / "checkpoint.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="holds other shards than the run was trained on"):
        lineage.Lineage(copy)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://site.example/a", True), ("http://www.Site.example:80/", True), ("https://notsite.example/", False),
        ("https://site.example.org/", False), ("not a url", False), ("http://[", False), ("", False),
    ],
)  # fmt: skip
def test_domains(url, wanted):
    assert lineage.url_is_on_domain("site.example")(url) is wanted


@pytest.mark.parametrize(
    ("start", "stop", "windows"),
    [
        (0, 1, [0]),
        (7, 9, [0, 1]),
        (8, 8, []),
        (23, 24, [2]),
        (24, 30, []),
        (40, 47, [3]),
        (40, 60, [3, 4]),
        (30, 41, [3]),
    ],
)
def test_the_windows_that_cover_a_stretch(tokens, start, stop, windows):
    """Windows of 8: three in tokens 0 to 25 (the last token is a target alone), two in 40 to 57."""
    shard = open_shards(tokens).shards[0]
    assert Windows([Span(shard, 0, 25), Span(shard, 40, 57)], 8).covering(shard, start, stop) == windows
