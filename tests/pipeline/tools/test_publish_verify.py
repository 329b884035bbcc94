"""A published run is a run: `verify` holds on it, finds what is damaged, and says what was not sent."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import InputError, IntegrityError, UserError
from pipeline.flow import build
from pipeline.report.status import run_status
from pipeline.storage.remote import RemoteSettings
from pipeline.tools.publish import publish
from pipeline.tools.verify import verify

QUESTION = "A miller grinds seven sacks of wheat before noon and twelve more after it, how many sacks?"
CONFIG = """
extract: [{{payload_digest: {{scope: run}}}}, {{main_text: {{engine: resiliparse}}}}]
filter: [gopher_quality, {{decontaminate: {{benchmarks: [{benchmark}], max_overlap: null}}}}]
dedup: {{scope: global}}
line_dedup: {{scope: global, min_documents: 2}}
substring_dedup: {{}}
tokenize: {{train_tokenizer: {{vocabulary_size: 300}}, tokens_per_shard: 2000}}
run: {{isolate: false}}
"""
NOTE = "intermediate files were not published"


def planted(seed: int) -> str:
    return article(seed).replace("</main>", f"<p>{QUESTION}</p></main>")


def built(folder: Path, name: str, *overrides: str) -> Path:
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/*.warc.gz"], output=str(folder / name), local=True,
                         overrides=overrides)  # fmt: skip
    build(config, quiet=True)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("publish")
    for name, seeds in (("a", (1, 2, 3)), ("b", (2, 5, 6))):
        pages = [Page(url=f"https://{name}.example/{seed}", html=planted(seed)) for seed in seeds]
        write_warc(made / f"{name}.warc.gz", [*pages, Page(url=f"https://{name}.example/404", status="404 Not Found")])
    (made / "mill.jsonl").write_text(json.dumps({"id": "mill", "query": QUESTION}) + "\n", encoding="utf-8")
    (made / "c.yaml").write_text(CONFIG.format(benchmark=made / "mill.jsonl"))
    return made


@pytest.fixture(scope="module")
def out(folder) -> Path:
    """A run with every optional step."""
    return built(folder, "out")


@pytest.fixture(scope="module")
def copy(out, folder) -> Path:
    """It, published without its intermediate documents."""
    publish(out, str(folder / "copy"), RemoteSettings())
    return folder / "copy"


def failed(run: Path) -> list[str]:
    return [check.name for check in verify(run) if not check.ok]


def notes(run: Path) -> list[str]:
    return [check.name for check in verify(run) if NOTE in check.looked_at]


def test_a_published_run_verifies_and_says_what_was_not_sent(out, copy):
    assert failed(out) == [] and notes(out) == []
    assert failed(copy) == [] and notes(copy) == ["every file is as committed"]
    assert (copy / "contamination" / "matches.parquet").is_file()
    assert not list(copy.glob("steps/*/documents")) and not list(copy.glob("steps/index/files"))
    shown = CliRunner().invoke(app, ["verify", str(copy)])
    assert shown.exit_code == 0 and NOTE in shown.output
    assert [(step.name, step.lost) for step in run_status(copy).steps if step.lost] == []


@pytest.mark.parametrize("settings", [("run.keep_steps=false",), ("run.keep_steps=false", "run.keep_index=false")])
def test_a_run_that_kept_no_steps_verifies_too(folder, tmp_path, settings):
    run = built(folder, f"cleared-{len(settings)}", *settings)
    for steps in (False, True):
        publish(run, str(tmp_path / f"{steps}"), RemoteSettings(), steps=steps)
        assert failed(tmp_path / f"{steps}") == []
        indexed = not steps and len(settings) == 1
        assert notes(tmp_path / f"{steps}") == (["every file is as committed"] if indexed else [])


def is_refused(run: Path) -> bool:
    try:
        return any(not check.ok for check in verify(run, sample=1))
    except InputError:  # run.json itself
        return True


KINDS = ["documents/part-00000.parquet", "dropped/part-extract-00000.parquet", "quarantine/part-none.parquet",
         "tokens/00000.ds", "tokens/00000.ds.index", "tokens/00000.docs.parquet", "tokens/manifest.json",
         "tokens/tokenizer.json", "contamination/matches.parquet", "contamination/items.parquet", "report.html",
         "run.json", "steps/extract/commits/00000.json"]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_published_run_is_found(copy, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(copy, run)
    data = bytearray((run / name).read_bytes())
    data[len(data) // 2] ^= 4
    (run / name).write_bytes(data)
    assert is_refused(run)
    (run / name).unlink()
    assert is_refused(run)


def test_no_commits_or_another_publication_is_found(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "steps")
    assert "nothing was lost" in failed(tmp_path / "a")
    shutil.copytree(copy, tmp_path / "b")
    (tmp_path / "b" / "published.json").unlink()
    assert failed(tmp_path / "b") == ["every file is as committed"]


def test_steps_are_sent_later_and_stay_when_they_are_not_asked_for(out, tmp_path):
    target = tmp_path / "copy"
    plain = publish(out, str(target), RemoteSettings(), check=True)
    assert plain.sent == plain.files and plain.left_out > 0
    steps = publish(out, str(target), RemoteSettings(), steps=True)
    assert steps.sent == plain.left_out + 1 and steps.left_out == 0  # and published.json anew
    assert failed(target) == [] and notes(target) == []
    again = publish(out, str(target), RemoteSettings())
    assert (again.sent, again.left_out) == (0, 0)
    assert failed(target) == [] and notes(target) == []
    [victim] = target.glob("steps/extract/documents/part-00000.parquet")
    victim.unlink()
    assert failed(target) == ["every file is as committed"]


def test_the_command_says_what_is_sent(out, tmp_path):
    def said(*options: str) -> str:
        shown = CliRunner().invoke(app, ["publish", str(out), str(tmp_path / "copy"), *options])
        assert shown.exit_code == 0, shown.output
        return shown.output

    assert "intermediate files left out (--steps sends them)" in said()
    assert "left out" not in said("--steps")
    assert "0 sent now (the others were there)" in said()


def test_steps_that_are_gone_are_not_published(out, copy, tmp_path):
    with pytest.raises(UserError, match="was published without its intermediate documents"):
        publish(copy, str(tmp_path / "x"), RemoteSettings(), steps=True)
    publish(copy, str(tmp_path / "y"), RemoteSettings(), check=True)
    assert failed(tmp_path / "y") == []
    shutil.copytree(out, tmp_path / "run")
    (tmp_path / "run/steps/extract/documents/part-00000.parquet").unlink()
    with pytest.raises(IntegrityError, match=r"steps/extract/documents/part-00000.parquet is missing"):
        publish(tmp_path / "run", str(tmp_path / "z"), RemoteSettings(), steps=True)
    publish(tmp_path / "run", str(tmp_path / "z"), RemoteSettings())


def test_the_beginning_of_another_publication_promises_no_steps(out, tmp_path):
    (tmp_path / "copy").mkdir()
    note = {"fingerprint": "of another", "steps": True}
    (tmp_path / "copy" / "published.json").write_text(json.dumps(note))
    publish(out, str(tmp_path / "copy"), RemoteSettings())
    assert failed(tmp_path / "copy") == []
