"""Publishing a run: all of it or nothing, through a store that stumbles, and again where it was broken off."""

import filecmp
import json
import os
import shutil

import pytest

pytest.importorskip("moto.server")
pytest.importorskip("s3fs")

from s3_server import s3_server
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import IntegrityError, UserError
from pipeline.flow import build
from pipeline.storage.files import exists, list_files, read_bytes, write_atomic
from pipeline.storage.remote import RemoteSettings
from pipeline.tools.publish import publish
from pipeline.tools.verify import verify


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": f"the text of {i}"}) + "\n" for i in range(20)))
    (folder / "c.yaml").write_text("dedup: null\ntokenize: {train_tokenizer: {vocabulary_size: 257}}\n")
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/in.jsonl"], output=str(folder / "out"), local=True)
    build(config, quiet=True)
    return folder / "out"


@pytest.fixture(scope="module")
def server():
    with s3_server("runs") as found:
        yield found


@pytest.fixture
def store(server):
    app, settings = server
    app.faults.clear()
    app.requests.clear()
    return app, settings


def test_a_run_is_published_through_faults(out, store):
    app, settings = store
    app.faults += [None, 503, 500, None, 429, None, None, 503, 503]
    done = publish(out, "s3://runs/a", settings, check=True, threads=2)
    assert done.sent == done.files and done.checked
    names = {item.path.removeprefix("s3://runs/a/"): item.bytes for item in list_files("s3://runs/a", settings)}
    assert len(names) == done.files and sum(names.values()) == done.bytes
    assert {"run.json", "report.html", "tokens/manifest.json", "tokens/00000.ds"} <= set(names)
    assert not [name for name in names if name.startswith(("logs", "."))]
    assert {name.split("/")[2] for name in names if name.startswith("steps")} == {"commits", "tasks.json"}
    puts = [request.split()[1].removeprefix("/runs/a/") for request in app.requests if request.startswith("PUT")]
    assert puts[-2:] == ["tokens/manifest.json", "run.json"]
    assert read_bytes("s3://runs/a/run.json", settings) == (out / "run.json").read_bytes()


def test_again_sends_nothing_but_what_was_changed_there(out, store):
    _, settings = store
    publish(out, "s3://runs/b", settings)
    assert publish(out, "s3://runs/b", settings).sent == 0
    write_atomic("s3://runs/b/tokens/00000.ds", b"other bytes", settings)
    assert publish(out, "s3://runs/b", settings, check=True).sent == 1


def test_a_publication_broken_off_is_no_run_and_goes_on(out, store):
    app, settings = store
    settings = RemoteSettings(attempts=1, timeout=5, options=settings.options)
    app.faults += [None] * 12 + [503] * 1000
    with pytest.raises(UserError, match="failed 1 times"):
        publish(out, "s3://runs/c", settings, threads=1)
    app.faults.clear()
    assert not exists("s3://runs/c/run.json", settings)
    done = publish(out, "s3://runs/c", settings, check=True)
    assert 0 < done.sent < done.files


def test_another_run_there_is_refused(out, store):
    _, settings = store
    write_atomic("s3://runs/d/run.json", json.dumps({"fingerprint": "of another"}).encode(), settings)
    with pytest.raises(UserError, match="holds another run"):
        publish(out, "s3://runs/d", settings)


def test_what_rots_on_the_way_is_found(out, store, monkeypatch):
    _, settings = store
    publish(out, "s3://runs/e", settings)
    same_size = bytes((out / "tokens/00000.ds").stat().st_size)
    write_atomic("s3://runs/e/tokens/00000.ds", same_size, settings)
    monkeypatch.setattr("pipeline.tools.publish._send", lambda *_: False)  # as if the store had changed it afterwards
    with pytest.raises(IntegrityError, match=r"tokens/00000\.ds: sha256"):
        publish(out, "s3://runs/e", settings, check=True)


def test_a_folder_is_a_target_too(out, tmp_path):
    publish(out, str(tmp_path / "copy"), RemoteSettings(), steps=True)
    assert all(check.ok for check in verify(tmp_path / "copy"))
    assert filecmp.cmp(out / "tokens/00000.ds", tmp_path / "copy/tokens/00000.ds", shallow=False)


@pytest.mark.parametrize("target", ["", " ", ".", "documents/copy"])
def test_a_target_in_the_run_itself_or_none_is_refused(out, target, monkeypatch):
    monkeypatch.chdir(out)
    with pytest.raises(UserError, match=r"is empty|lies in the run folder"):
        publish(out, target, RemoteSettings())
    assert not (out / "documents" / "copy").exists()


@pytest.mark.parametrize(
    ("name", "content", "check", "problem"),
    [
        ("documents/part-00000.parquet", None, False, "documents/part-00000.parquet is missing"),
        ("tokens/00000.ds", b"x", False, "tokens/00000.ds has 1 bytes, committed were"),
        ("tokens/manifest.json", None, False, "tokens/manifest.json is missing"),
        ("documents/part-00000.parquet", b"flip", True, "part-00000.parquet: has changed since it was committed"),
        ("report.html", b"flip", False, "report.html: has changed since it was committed"),
        ("tokens/00000.ds", b"flip", False, "tokens/00000.ds: has changed since it was committed"),
    ],
)
def test_a_damaged_run_is_not_published(out, tmp_path, name, content, check, problem):
    shutil.copytree(out, tmp_path / "run")
    victim = tmp_path / "run" / name
    if content is None:
        victim.unlink()
    else:
        victim.write_bytes(
            bytes([victim.read_bytes()[0] ^ 1]) + victim.read_bytes()[1:] if content == b"flip" else content
        )
    with pytest.raises(IntegrityError, match=problem):
        publish(tmp_path / "run", str(tmp_path / "copy"), RemoteSettings(), check=check)
    assert not (tmp_path / "copy" / "run.json").exists()
    assert content == b"flip" or not (tmp_path / "copy").exists()


def test_a_copy_found_damaged_is_sent_anew(out, tmp_path):
    publish(out, str(tmp_path / "copy"), RemoteSettings())
    victim = tmp_path / "copy" / "tokens" / "00000.ds"
    status = victim.stat()
    victim.write_bytes(bytes([victim.read_bytes()[0] ^ 1]) + victim.read_bytes()[1:])
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(IntegrityError, match="publish again, and it is sent anew"):
        publish(out, str(tmp_path / "copy"), RemoteSettings(), check=True)
    assert publish(out, str(tmp_path / "copy"), RemoteSettings(), check=True).sent == 1
    assert victim.read_bytes() == (out / "tokens" / "00000.ds").read_bytes()


def test_a_run_whose_record_was_edited_or_that_has_no_commits_is_not_published(out, tmp_path):
    for name in ("edited", "bare"):
        shutil.copytree(out, tmp_path / name)
    record = tmp_path / "edited" / "run.json"
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1'))
    assert json.loads(record.read_text())["seed"] == 1
    shutil.rmtree(tmp_path / "bare" / "steps")
    for name, problem in (("edited", "run.json has changed"), ("bare", "no commit is left")):
        with pytest.raises(IntegrityError, match=problem):
            publish(tmp_path / name, str(tmp_path / "copy"), RemoteSettings())
    assert not (tmp_path / "copy").exists()


def test_a_damaged_run_gets_no_new_report_that_would_seal_the_damage(out, tmp_path):
    shutil.copytree(out, tmp_path / "run")
    record = tmp_path / "run" / "run.json"
    (tmp_path / "run" / "report.html").write_text("spoilt")
    assert CliRunner().invoke(app, ["report", str(tmp_path / "run")]).exit_code == 0
    assert all(check.ok for check in verify(tmp_path / "run"))
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1'))
    result = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert "run.json has changed since it was written" in str(result.exception)
    assert not all(check.ok for check in verify(tmp_path / "run"))


def test_only_a_finished_run_is_published(out, tmp_path):
    broken = tmp_path / "run"
    broken.mkdir()
    text = (out / "run.json").read_text().replace('"state": "done"', '"state": "failed"')
    (broken / "run.json").write_text(text)
    with pytest.raises(UserError, match="is failed, and only a finished run"):
        publish(broken, str(tmp_path / "x"), RemoteSettings())
    with pytest.raises(UserError, match="cannot be written to"):
        publish(out, "https://a.example/run", RemoteSettings())
