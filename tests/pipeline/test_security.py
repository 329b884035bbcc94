"""What pages, configs and strangers on the network must not be able to do; docs/security.md says why each is here."""

import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError
from pipeline.contract.run import RunRecord
from pipeline.engine.runner import open_runner
from pipeline.engine.settings import RunSettings
from pipeline.flow import build

ATTACK = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
HOSTILE_URL = "https://a.example/'\"><script>document.title='owned'</script>/../../../../etc/passwd"
CONFIG = """
extract: [{url_filter: {}}, {language_prefilter: {keep: [en]}}, {main_text: {engine: trafilatura}},
          {language_id: {keep: [en], min_score: 0.1}}]
filter: [gopher_repetition, gopher_quality, c4, fineweb]
tokenize: {stages: [pii], train_tokenizer: {vocabulary_size: 300}}
run: {dropped_text: true}
"""
ENTITIES = '<!DOCTYPE html [<!ENTITY x SYSTEM "file://{path}"><!ENTITY a "{bomb}">]>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A crawl by somebody who means harm, and its config."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "secret.txt").write_text("the-content-of-a-local-file")
    head = ENTITIES.format(path=folder / "secret.txt", bomb="a" * 1000)
    harm = article(1).replace("</p>", f" {ATTACK} &x; &a; </p>", 1)
    write_warc(folder / "a.warc.gz", [
        Page(url=HOSTILE_URL, html=head + harm),
        Page(url=HOSTILE_URL + "2", html=harm),
        Page(url=f"javascript:alert(1)//{ATTACK}", html=article(2)),
        Page(url="https://b.example/ok", html=article(3), record_id="../../../../tmp/escaped"),
        Page(url=f"https://c.example/{ATTACK}", html=f"<p>{ATTACK}</p>"),
    ])  # fmt: skip
    (folder / "c.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def out(folder) -> Path:
    secret = ["run.remote.options.secret=TOP-SECRET-7", "run.remote.options.token=TOP-SECRET-8"]
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/a.warc.gz"], output=str(folder / "out"), local=True,
                         overrides=secret)  # fmt: skip
    assert build(config, quiet=True).totals.read == 5
    return folder / "out"


class _Harm(html.parser.HTMLParser):
    """Collects what in a page could run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [tag] if tag in ("script", "iframe", "object", "embed", "base", "form", "link") else []
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith(("javascript:", "data:text")):
                self.found.append(f"{tag} {name}={value}")


def test_nothing_of_a_page_runs_in_the_report(out):
    text = (out / "report.html").read_text()
    assert "owned" in text, "the report shows none of the hostile pages, so it proves nothing"
    harm = _Harm()
    harm.feed(text)
    assert harm.found == []
    assert "default-src 'none'" in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser: apt-get install chromium")
def test_nothing_of_a_page_runs_in_a_real_browser(out, tmp_path):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
               "--disable-background-networking", "--disable-component-update", "--disable-quic",
               f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=2000", "--dump-dom"]  # fmt: skip

    def title(path: Path) -> str:
        shown = subprocess.run([*command, f"file://{path}"], capture_output=True, text=True, timeout=120).stdout
        return re.search(r"<title>(.*?)</title>", shown, re.DOTALL).group(1)

    naive = tmp_path / "naive.html"
    naive.write_text(f"<title>as it was</title>{ATTACK}")
    assert title(naive) == "owned", "the attack must work where nothing is escaped"
    assert "owned" not in title(out / "report.html")


def test_nothing_of_a_page_drives_the_terminal(tmp_path):
    url = "https://a.example/\x1b]0;owned\x07\x1b[2J\u202e"
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": "one two", "url": url}) + "\n")
    (tmp_path / "c.yaml").write_text("dedup: null\ntokenize: {train_tokenizer: {vocabulary_size: 257}}\n")
    config = load_config(tmp_path / "c.yaml", inputs=[f"{tmp_path}/in.jsonl"], output=str(tmp_path / "o"), local=True)
    build(config, quiet=True)
    command = [sys.executable, "-m", "pipeline.cli", "trace", str(tmp_path / "o"), "--domain", "a.example"]
    shown = subprocess.run(command, capture_output=True, timeout=120).stdout
    assert b"https://a.example/" in shown
    assert b"\x1b" not in shown and "\u202e".encode() not in shown


def test_entities_are_not_followed(out):
    for path in out.rglob("*"):
        if path.is_file():
            assert b"the-content-of-a-local-file" not in path.read_bytes(), path


def test_files_are_named_by_us_alone(out):
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    plain = re.compile(r"[a-z0-9_./-]+\.(parquet|json|ds|ds\.index|html|log)|steps/[a-z0-9_./-]+|\.lock")
    assert [name for name in names if not plain.fullmatch(name)] == []
    assert not Path("/tmp/escaped").exists()


def test_credentials_are_written_nowhere(out):
    assert RunRecord.read(out).config["run"]["remote"]["options"] == {"secret": "(not shown)", "token": "(not shown)"}
    for path in out.rglob("*"):
        if path.is_file():
            assert b"TOP-SECRET" not in path.read_bytes(), path


def test_a_config_makes_no_objects(folder, tmp_path):
    (tmp_path / "c.yaml").write_text(f"seed: !!python/object/apply:os.system ['touch {tmp_path}/done']\n")
    with pytest.raises(ConfigError):
        load_config(tmp_path / "c.yaml")
    assert not (tmp_path / "done").exists()


def test_a_build_asks_the_network_for_nothing(folder, tmp_path):
    """Every Python of the build, the page process included, notes what it connects to."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, socket\n"
        "def note(self, address, connect=socket.socket.connect):\n"
        "    if self.family != socket.AF_UNIX:\n"
        "        open(os.environ['NOTES'], 'a').write(f'{address}\\n')\n"
        "        raise OSError('no network here')\n"
        "    return connect(self, address)\n"
        "socket.socket.connect = socket.socket.connect_ex = note\n"
        "def resolve(host, *rest, **more):\n"
        "    open(os.environ['NOTES'], 'a').write(f'{host}\\n')\n"
        "    raise OSError('no network here')\n"
        "socket.getaddrinfo = socket.gethostbyname = resolve\n"
    )
    notes = tmp_path / "notes"
    environment = {**os.environ, "NOTES": str(notes), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "pipeline.cli", "build", str(folder / "c.yaml"), "--local", "--quiet",
               "--input", f"{folder}/a.warc.gz", "--output", str(tmp_path / "out")]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not notes.exists(), notes.read_text()
    probe = "import urllib.request as u; u.urlopen('http://127.0.0.1:9/')"
    subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, timeout=60)
    assert notes.exists(), "the notes are not taken, so their absence proves nothing"


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "0" * 64])
def test_a_local_cluster_lets_nobody_in_without_its_token(token):
    with open_runner(RunSettings(workers=1)) as runner:
        import ray

        assert list(runner.map(lambda number: number + 1, [2])) == [3]
        address = ray.get_runtime_context().gcs_address
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
        code = f"import ray; ray.init(address='{address}', logging_level='error'); print('let in')"
        tried = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert tried.returncode != 0
    assert "let in" not in tried.stdout
    assert "ConnectionError" in tried.stderr
