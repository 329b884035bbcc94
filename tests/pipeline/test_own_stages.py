"""Stages of the user's own: found where they are said to be, told apart in the report, and part of what a run is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from warc_pages import Page, article, write_warc

REPOSITORY = Path(__file__).resolve().parents[2]
COOKIES = """
import dataclasses
import pathlib
from words import count
from pipeline.document import Document, Drop


@dataclasses.dataclass(frozen=True, kw_only=True)
class CookieFilter:
    max_cookies: int = 5

    def __call__(self, doc: Document) -> Document | Drop:
        found = count(doc.text)
        return Drop("too_many_cookies", found, self.max_cookies) if found > self.max_cookies else doc


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listed:
    words: pathlib.Path

    def __call__(self, doc: Document) -> Document:
        return doc


class NoDataclass:
    pass


@dataclasses.dataclass(frozen=True)
class NotCallable:
    size: int = 3
"""
WORDS = "def count(text): return text.lower().count('cookie')\n"
CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
filter:
  - cookies.CookieFilter
dedup: null
tokenize: {train_tokenizer: {vocabulary_size: 300}}
"""
BLOCKS = """\
  - datatrove: {class: datatrove.pipeline.filters.RegexFilter, args: {regex_exp: unseen}}
  - datatrove: {class: datatrove.pipeline.filters.RegexFilter, args: {regex_exp: unheard}}
"""
OWN = "  - cookies.CookieFilter\n"


def run(folder: Path, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """`tokenmill ARGUMENTS` in a folder, with the exit code it must have."""
    command = [str(Path(sys.executable).with_name("tokenmill")), *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == code, done.stderr + done.stdout
    return done


def build(folder: Path, out: str, *arguments: str, code: int = 0) -> str:
    """A local build of the crawl in `folder`; what it said on standard error."""
    return run(folder, "build", "c.yaml", "--input", "a.warc.gz", "--output", out, "--local", "--quiet",
               *arguments, code=code).stderr  # fmt: skip


def reasons(out: Path) -> dict[str, int]:
    """What dropped how many, by run.json."""
    found: dict[str, int] = json.loads((out / "run.json").read_text())["totals"]["dropped"]
    return found


@pytest.fixture
def place(tmp_path):
    """A config, a crawl, and stages beside neither."""
    (tmp_path / "c.yaml").write_text(CONFIG)
    pages = [Page(url=f"https://a.example/{i}", html=article(i)) for i in range(4)]
    pages += [
        Page(
            url="https://a.example/c",
            html=article(9).replace("</main>", "<p>The cookie of the cookie was the cookie.</p></main>"),
        )
    ]
    pages += [Page(url="https://a.example/short", html=article(7, sentences=4))]
    write_warc(tmp_path / "a.warc.gz", pages)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "cookies.py").write_text(COOKIES)
    (tmp_path / "own" / "words.py").write_text(WORDS)
    return tmp_path


def test_changed_code_is_another_run_and_is_not_reused(place):
    build(place, "out", "--stages", "own", "--set", "filter.cookies.CookieFilter.max_cookies=2")
    assert reasons(place / "out")["filter.cookies.CookieFilter.too_many_cookies"] == 1
    again = build(place, "out", "--stages", "own", "--set", "filter[0].max_cookies=2")
    assert again == ""

    (place / "own" / "words.py").write_text(WORDS.replace("'cookie'", "'biscuit'"))
    refused = build(place, "out", "--stages", "own", "--set", "filter[0].max_cookies=2", code=2)
    assert "the code of cookies.CookieFilter has changed: words.py" in refused

    said = run(place, "build", "c.yaml", "--input", "a.warc.gz", "--output", "new", "--local", "--stages", "own",
               "--set", "filter[0].max_cookies=2", "--reuse", "out").stderr  # fmt: skip
    assert (
        "taken over from out: extract of 1 of 1 inputs (then the code of cookies.CookieFilter has changed: words.py)"
        in said
    )
    assert "filter.cookies.CookieFilter.too_many_cookies" not in reasons(place / "new")
    assert (
        pq.read_table(place / "new" / "documents").num_rows == pq.read_table(place / "out" / "documents").num_rows + 1
    )


def test_the_page_about_stages_holds_what_it_shows(place):
    """The examples of docs/stages.md, as they stand there."""
    page = (REPOSITORY / "docs" / "stages.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [yaml] = re.findall(r"```yaml\nfilter:\n(.*?)```", page, re.DOTALL)
    (place / "my_stages").mkdir()
    (place / "my_stages" / "shouting.py").write_text(first)
    (place / "my_stages" / "loud.py").write_text(second)
    loud = re.sub("<p>.*?</p>", lambda found: found[0].upper(), article(3, sentences=40))
    write_warc(place / "a.warc.gz", [Page(url="https://a.example/loud", html=loud),
                                     Page(url="https://a.example/calm", html=article(1))])  # fmt: skip
    for config, stage in ((yaml, "shouting"), (yaml.replace("shouting", "loud"), "loud")):
        (place / "c.yaml").write_text(CONFIG.replace(OWN, config))
        build(place, stage, "--stages", "my_stages")
        assert reasons(place / stage) == {f"filter.{stage}.NoShouting.too_loud": 1}
        [row] = pq.read_table(place / stage / "dropped").to_pylist()
        assert (row["value"] > 0.9, row["limit"]) == (True, 0.5)
    swept = run(place, "sweep", "loud", "--set", "filter.loud.NoShouting.max_share=0.5,null", "--json")
    assert [point["documents"] for point in json.loads(swept.stdout)["settings"]] == [1, 2]


def test_the_path_of_stages_is_in_the_config_too_and_is_known_to_later_commands(place, tmp_path_factory):
    build(place, "out", "--set", "run.stages_path=own")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert json.loads((place / "out" / "run.json").read_text())["config"]["run"]["stages_path"] == str(place / "own")
    assert "no page" in run(elsewhere, "replay", str(place / "out")).stdout + "no page"
    shown = run(
        place, "config", "show", "c.yaml", "--stages", "own", "--set", "filter.cookies.CookieFilter.max_cookies=7"
    )
    assert "max_cookies: 7" in shown.stdout


def test_blocks_of_one_class_have_prefixes_of_their_own(place):
    (place / "c.yaml").write_text(CONFIG.replace(OWN, OWN + BLOCKS))
    build(place, "out", "--stages", "own", "--set", "filter[1].args.regex_exp=number 2")
    name = "filter.datatrove.RegexFilter"
    assert reasons(place / "out") == {f"{name}.dropped": 1}
    build(place, "out2", "--stages", "own", "--set", "filter[2].datatrove.args.regex_exp=number [23]")
    assert reasons(place / "out2") == {f"{name}.2.dropped": 2}
    assert f"{name}.2.dropped" in (place / "out2" / "report.html").read_text()


@pytest.mark.parametrize(
    ("stages", "stage", "message"),
    [
        ("own", "cookies.CookieFiter", "'CookieFiter'\n  known: CookieFilter, Listed, NoDataclass, NotCallable\n"),
        ("own", "cookies.NoDataclass", "'NoDataclass' is no dataclass; a stage is a frozen dataclass"),
        ("own", "cookies.NotCallable", "'NotCallable' cannot be called: it has no method __call__"),
        ("own", "unparsable.Stage", "unparsable.py:3: cannot be imported: SyntaxError: "),
        ("own", "needs.Stage", "needs.py:2: imports 'not_installed_here', which is not installed"),
        ("own", "raises.Stage", "raises.py:2: cannot be imported: ZeroDivisionError: division by zero"),
        ("own", "cookeis.CookieFilter", "{place}/own or among the installed packages\n"),
        ("own", "cookies.deeper.CookieFilter", "no module 'cookies.deeper' in "),
        ("nowhere", "cookies.CookieFilter", "run.stages_path: nowhere: there is no such folder"),
        (None, "beside.Stage", "no module 'beside'"),
        (None, "beside.Stage", "beside.py is there: add --stages "),
        (None, "needs.Stage", "own/needs.py is there: add --stages own"),
    ],
)  # fmt: skip
def test_the_real_cause_is_named_with_its_place(place, stages, stage, message):
    (place / "own" / "unparsable.py").write_text("import dataclasses\n\nclass Stage(:\n")
    (place / "own" / "needs.py").write_text("import dataclasses\nimport not_installed_here\n")
    (place / "own" / "raises.py").write_text("import dataclasses\n1 / 0\n")
    (place / "beside.py").write_text(COOKIES)
    (place / "c.yaml").write_text(CONFIG.replace("cookies.CookieFilter", stage))
    said = build(place, "out", *(("--stages", stages) if stages else ()), code=2)
    assert message.format(place=place) in said
    assert "Traceback" not in said


def test_a_field_of_a_type_that_no_config_can_hold_is_named(place):
    said = build(place, "out", "--stages", "own", "--set", "filter=[{cookies.Listed: {words: words.txt}}]", code=2)
    assert "filter[0].cookies.Listed.words: its class says Path, which no config can hold\n  known: bool, int" in said


def test_arguments_of_a_datatrove_block_are_asked_for_where_they_go(place):
    config = CONFIG.replace(OWN, BLOCKS)
    (place / "c.yaml").write_text(config.replace(", args: {regex_exp: unseen}", ", regex_exp: unseen"))
    said = build(place, "out", code=2)
    assert "filter[0].datatrove: unknown field 'regex_exp'\n  known: args, class" in said
    assert "an argument of the block goes under args: `args: {regex_exp: ...}`" in said
    (place / "c.yaml").write_text(config.replace("regex_exp: unseen", "regex: unseen"))
    said = build(place, "out", code=2)
    assert "unexpected keyword argument 'regex'; RegexFilter takes regex_exp" in said


@pytest.mark.parametrize("package", ["pipeline", "training"])
def test_another_package_of_our_name_is_named(tmp_path, package):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    said = run(tmp_path, "doctor", code=2, PYTHONPATH=str(tmp_path)).stderr
    assert f"another package '{package}' hides tokenmill's own: {tmp_path / package}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("mode", ["--local", "--set=run.workers=1"])
def test_a_folder_of_our_name_where_a_build_is_started_does_no_harm(place, mode):
    for package in ("pipeline", "training"):
        (place / package).mkdir()
        (place / package / "__init__.py").write_text("raise RuntimeError('not ours')")
    run(place, "build", "c.yaml", "--input", "a.warc.gz", "--output", "out", mode, "--stages", "own",
        "--set", "filter[0].max_cookies=2")  # fmt: skip
    assert reasons(place / "out")["filter.cookies.CookieFilter.too_many_cookies"] == 1


def test_what_a_stage_prints_does_not_mix_with_what_the_command_says(place):
    path = place / "own" / "cookies.py"
    path.write_text(
        path.read_text().replace("        found = count", "        print('looking')\n        found = count")
    )
    done = run(
        place, "build", "c.yaml", "--input", "a.warc.gz", "--output", "out", "--local", "--stages", "own", "--json"
    )
    assert json.loads(done.stdout)["read"] == 6
    assert "looking" in done.stderr


def test_an_input_that_changes_while_a_build_runs_ends_it(place):
    path = place / "own" / "cookies.py"
    touch = f"        import os\n        os.utime({str(place / 'a.warc.gz')!r}, ns=(1, 1))\n        found = count"
    path.write_text(path.read_text().replace("        found = count", touch))
    said = build(place, "out", "--stages", "own", "--set", "filter=[]", "--set",
                 "extract=[{main_text: {engine: resiliparse}}, cookies.CookieFilter]", code=1)  # fmt: skip
    assert "a.warc.gz: has changed while the build was under way" in said


def test_a_build_that_failed_before_it_did_anything_leaves_its_folder_free(place):
    rows = place / "a.jsonl"
    rows.write_text("".join(json.dumps({"words": "Some words of a page. " * 20}) + "\n" for _ in range(3)))
    first = (
        "build",
        "c.yaml",
        "--input",
        "a.jsonl",
        "--output",
        "out",
        "--local",
        "--set",
        "extract=[]",
        "--set",
        "filter=[]",
    )
    assert "set input.columns.text" in run(place, *first, code=2).stderr
    run(place, *first, "--set", "input.columns.text=words")
    run(place, *first, "--set", "input.columns.text=words")
    assert "holds a run with another config" in run(place, *first, code=2).stderr


@pytest.mark.parametrize("isolate", ["true", "false"])
def test_code_that_changes_while_a_build_runs_ends_it(place, isolate):
    """The rows after the change were made by other code than run.json names."""
    path = place / "own" / "cookies.py"
    edit = f"        with open({str(path)!r}, 'a') as sink:\n            sink.write('# edited')\n        found = count"
    path.write_text(path.read_text().replace("        found = count", edit))
    for name in "bc":
        write_warc(place / f"{name}.warc.gz", [Page(url=f"https://{name}.example/", html=article(ord(name)))])
    said = build(place, "out", "--input", "*.warc.gz", "--stages", "own", "--set", f"run.isolate={isolate}", code=1)
    assert "StageError: filter: the code of cookies.CookieFilter has changed: cookies.py, while the build was" in said
    assert json.loads((place / "out" / "run.json").read_text())["state"] == "failed"
