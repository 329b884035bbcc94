"""The registry is the one place that says which steps there are: a step is added by two files and a line of it."""

import difflib
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from warc_pages import Page, article, write_warc

import pipeline
from pipeline.config import PipelineConfig, resolved_config
from pipeline.dedup.lines import LineDedup
from pipeline.steps import registry
from pipeline.steps.registry import DEDUP, EXTRACT, FILTER, OPTIONAL, STEPS, TOKENIZE, owner_of, step, steps_before

SETTINGS = '''"""Headlines, as an example of what a step can take out."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Headlines:
    """The first line of a document is taken out."""

    max_characters: int = 100
    """Of a line that is taken for a headline."""

    def __post_init__(self) -> None:
        if self.max_characters < 1:
            raise ValueError(f"max_characters: must be at least 1, got {self.max_characters}")
'''
STEP = '''"""Documents without their headlines: one task per part."""

import dataclasses
import time

from pipeline.steps.registry import step
from pipeline.steps.text_dedup import phases

STEP = step("headlines")


@dataclasses.dataclass(frozen=True)
class HeadlinesTask:
    key: str
    text: phases.TextTask
    longest: int


def run(context, parts, section, signals):
    tasks = [
        HeadlinesTask(part.key, phases.TextTask(
            key=part.key, out=context.out, step=STEP.name, stage=STEP.stage, part=part, group=0, first_row=0,
            signals=signals, memory=context.settings.task_memory, names=STEP.signals, min_words=3, dropped_text=False,
        ), section.max_characters)
        for part in parts
    ]
    return context.run(STEP.name, take_out, tasks)


def take_out(task):
    start, edits = time.process_time(), {}
    for batch in phases.read_batches(task.text.part):
        for row, text in enumerate(batch.texts, batch.row):
            line, _, rest = text.partition("\\n")
            if len(line) <= task.longest:
                edits[row] = phases.Edit(rest, len(rest.split()), (1,))
    return phases.write_part(task.text, edits, start)
'''
LINE = '    _optional("headlines", "text_dedup.headlines", "dedup.headlines.Headlines", stage="headline", signals=("lines", "characters")),\n'  # noqa: E501
RUN = """
import json, sys
from pathlib import Path
from pipeline.config import load_config, resolved_config
from pipeline.explore.folder import Folder, key_of, step_of
from pipeline.explore.overview import flow
from pipeline.explore.texts import dropped_text
from pipeline.flow import build
from pipeline.report.collect import collect
from pipeline.report.status import run_status
from pipeline.tools.trace import trace_url
from pipeline.tools.verify import verify

folder = Path(sys.argv[1])
def made(out, reuse=None, *overrides):
    config = load_config(folder / "build.yaml", output=str(out), local=True, overrides=overrides)
    return config, build(config, quiet=True, reuse=reuse)
config, record = made(folder / "out")
out = folder / "out"
data = collect(out, record)
explorer = Folder(out)
[part] = [name for name in explorer.parts("dropped") if step_of(name) == "headlines"]
again = made(folder / "again", out, "seed=1")[1]
print(json.dumps({
    "section": resolved_config(config)["headlines"],
    "dropped": dict(record.totals.dropped), "kept": record.totals.kept,
    "checks": {check.name: [check.looked_at, *check.problems] for check in verify(out)},
    "funnel": [step.name for step in data.funnel], "taken_out": [[t.step, dict(t.pieces)] for t in data.taken_out],
    "report": "headlines" in (out / "report.html").read_text(),
    "status": [step.name for step in run_status(out).steps],
    "flow": [[step.name, step.read, step.dropped] for step in flow(record, {})],
    "lost_text": dropped_text(explorer, part, {"id": "gone", "warc_path": "", "warc_offset": 0, "text": None}) is None,
    "key": key_of(part),
    "trace": trace_url(out, "https://a.example/1")[0].details,
    "text": __import__("pyarrow.parquet").parquet.read_table(out / "documents/part-00000.parquet")["text"].to_pylist(),
    "reused": (folder / "again/steps/headlines/documents/part-00000.parquet").samefile(
        out / "steps/headlines/documents/part-00000.parquet"),
}))
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A folder with a copy of the package that has one step more."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copytree(Path(pipeline.__file__).parent, folder / "pipeline")
    (folder / "pipeline/dedup/headlines.py").write_text(SETTINGS)
    (folder / "pipeline/steps/text_dedup/headlines.py").write_text(STEP)
    path = folder / "pipeline/steps/registry.py"
    before = path.read_text()
    path.write_text(before.replace("OPTIONAL = (\n", "OPTIONAL = (\n" + LINE))
    changed = [line for line in difflib.ndiff(before.splitlines(), path.read_text().splitlines()) if line[0] in "+-"]
    assert len(changed) == 1
    return folder


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=folder,
                          check=False)  # fmt: skip


def test_two_files_and_a_line_make_a_step(extended):
    pages = [Page(url=f"https://a.example/{n}", html=f"<h1>Headline {n}</h1>{article(n)}") for n in range(4)]
    pages.append(Page(url="https://a.example/short", html="<p>Nothing but this one short line of text.</p>"))
    write_warc(extended / "a.warc.gz", pages)
    (extended / "build.yaml").write_text(
        f"input: {{paths: ['{extended}/a.warc.gz']}}\nextract: [main_text: {{engine: resiliparse}}]\n"
        "headlines: {max_characters: 60}\ntokenize: {train_tokenizer: {vocabulary_size: 300}}\n"
    )
    done = command(extended, "-c", RUN, str(extended))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["section"] == {"max_characters": 60}
    assert (found["dropped"], found["kept"]) == ({"headlines.headline.too_few_words": 1}, 4)
    assert {name: problems for name, (_, *problems) in found["checks"].items() if problems} == {}
    assert " characters by headlines" in found["checks"]["text taken out is counted"][0]
    assert found["funnel"] == ["extract", "filter", "dedup", "headlines", "tokenize"] and found["report"]
    assert found["taken_out"] == [["headlines", {"lines": 4}]]
    assert "headlines" in found["status"]
    assert ["headlines", 5, 1] in found["flow"]
    assert (found["key"], found["lost_text"]) == ("00000", True)
    assert (found["trace"]["headline.lines"], found["trace"]["headline.characters"]) == (1, len("Headline 1\n"))
    assert len(found["text"]) == 4 and not any("Headline" in text for text in found["text"])
    assert found["reused"]


def test_its_section_is_checked_and_documented_like_every_other(extended):
    shown = command(extended, "-m", "pipeline.cli", "config", "schema")
    entry = json.loads(shown.stdout)["properties"]["headlines"]
    assert entry["description"] == "The first line of a document is taken out." and entry["default"] is None
    assert entry["anyOf"][0]["properties"]["max_characters"]["minimum"] == 1
    (extended / "wrong.yaml").write_text("headlines: {max_character: 60}\n")
    refused = command(extended, "-m", "pipeline.cli", "config", "show", "wrong.yaml")
    assert refused.returncode == 2
    assert "wrong.yaml: headlines: unknown field 'max_character'" in refused.stderr
    (extended / "off.yaml").write_text("headline: {}\n")
    assert "did you mean 'headlines'?" in command(extended, "-m", "pipeline.cli", "config", "show", "off.yaml").stderr


def test_each_optional_step_is_what_its_line_says():
    for found in OPTIONAL:
        module = importlib.import_module(found.module)
        assert module.STEP is found and callable(module.run)
        assert isinstance(found.settings_class()(), found.settings_class())
        assert found.optional and found.signals[-1] == "characters"
    assert not any(found.optional for found in (EXTRACT, FILTER, DEDUP, TOKENIZE))
    assert len({found.name for found in STEPS}) == len(STEPS)


def test_which_steps_a_step_may_have_read():
    assert steps_before("extract") == ()
    assert steps_before("filter") == (EXTRACT,)
    assert steps_before("dedup") == (FILTER,)
    assert steps_before("line_dedup") == (DEDUP,)
    assert steps_before("substring_dedup")[-2:] == (step("line_dedup"), DEDUP)
    assert steps_before("tokenize") == (*reversed(OPTIONAL), DEDUP)
    assert steps_before("") == ()


def test_a_ledger_belongs_to_the_step_it_is_named_after():
    assert owner_of("dedup-edges") is DEDUP and owner_of("dedup") is DEDUP
    assert owner_of("line_dedup-lines") is step("line_dedup")
    assert owner_of("shards") is TOKENIZE and owner_of("index") is TOKENIZE


def test_a_step_without_its_section_is_not_taken():
    assert step("line_dedup").enabled({"line_dedup": {}}) and not step("line_dedup").enabled({"line_dedup": None})
    assert not DEDUP.enabled({"dedup": None}) and FILTER.enabled({"filter": []})
    with pytest.raises(KeyError):
        registry.step("no_such_step")


def test_sections_of_optional_steps_made_in_python_are_checked():
    made = PipelineConfig(optional={"line_dedup": LineDedup(min_documents=9)})
    tree = resolved_config(made)
    assert (tree["line_dedup"]["min_documents"], tree["substring_dedup"]) == (9, None)
    assert list(tree) == list(resolved_config(PipelineConfig()))
    with pytest.raises(ValueError, match="there is no optional step 'line_dedupe'; known: line_dedup, substring_dedup"):
        PipelineConfig(optional={"line_dedupe": LineDedup()})
    with pytest.raises(ValueError, match=r"optional\.substring_dedup: must be a SubstringDedup, got LineDedup\("):
        PipelineConfig(optional={"substring_dedup": LineDedup()})
