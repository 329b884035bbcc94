"""Every command of README.md and docs/ can be typed as it stands there, once `make run` has made its demo.

In `make test` each is read as the command line reads it: command, options, config and keys must be there. In `make
check-slow` they are typed, page by page, in a folder that has what `make run` leaves and what a page's names mean.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from doc_commands import PAGES, REPOSITORY, Shown, shown_commands
from labelled_pages import labelled_page
from typer.main import get_command

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import ConfigError
from pipeline.extractor import labelled
from training.config import load_config as load_training
from training.sft_config import load_sft_config

COMMANDS = [command for page in PAGES for command in shown_commands(page)]
NOT_TYPED = {
    r"make (run|test)\b": "made the demo, and runs this test",
    r".*--nproc 8\b": "wants 8 GPUs",
    r"torchrun ": "wants 8 machines with 8 GPUs each",
    r"python -m training\.tools\.bench configs/training/gpt2-124m": "trains 124M parameters, hours without a GPU",
    r"python tests/benchmarks/": "measures for minutes to hours, on a crawl of its own",
    r"python infra/extractor/labelled_pages\.py": "clones repositories of hundreds of megabytes",
    r"duckdb ": "another program, which is not installed here",
}
"""Commands that are read but not typed, and why."""
UNTIL = {r".*tokenmill explore ": "http://127.0.0.1:"}
"""Commands that go on until a Ctrl-C, and what they have said by then."""
LONGEST = 900
"""Seconds one command may take."""


def test_commands_are_found():
    """A page written in another way would go untested in silence."""
    assert len(COMMANDS) > 50
    assert {command.words[0] for command in COMMANDS} == {
        ".venv/bin/tokenmill", "tokenmill", "make", "python", "torchrun", "duckdb",
    }  # fmt: skip
    first = next(command for command in COMMANDS if command.page == "training.md")
    assert first.text.startswith("tokenmill train configs/training/demo-1m.yaml ")
    for pattern in (*NOT_TYPED, *UNTIL):
        assert any(re.match(pattern, command.text) for command in COMMANDS), f"no command is like {pattern}"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_one(command, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    program, *words = command.words
    READERS[program.removeprefix(".venv/bin/")](command, words)
    for word in words:
        if word.startswith(("configs/", "tests/", "infra/")):
            assert Path(word).exists(), word
        for name in re.findall(r"runs/demo/([\w.-]+)", word):
            assert name in made_by_the_demo(), f"make run makes no runs/demo/{name}"


def made_by_the_demo() -> set[str]:
    return set(re.findall(r"\$demo/([\w.-]+)", Path("infra/demo/run.sh").read_text()))


def read_tokenmill(command: Shown, words: list[str]) -> None:
    one, names = get_command(app), list(words)
    while commands := getattr(one, "commands", {}):
        assert names and names[0] in commands, command.text
        one = commands[names.pop(0)]
    parameters = one.make_context(words[0], names).params
    load = {"build": load_config, "forecast": load_config, "train": load_training, "sft": load_sft_config}.get(words[0])
    if load is None or not str(parameters["config"]).startswith("configs/"):
        return
    overrides = parameters["overrides"]
    if not command.error:
        load(parameters["config"], overrides=overrides)
        return
    with pytest.raises(ConfigError) as error:
        load(parameters["config"], overrides=overrides)
    assert f"ConfigError: {error.value}".split("\n") == list(command.error)


def read_python(command: Shown, words: list[str]) -> None:
    """A script or module of the repository, which names each option."""
    if words[0] == "-m":
        found = importlib.util.find_spec(words[1])
        assert found is not None and found.origin is not None, words[1]
        file = Path(found.origin)
    else:
        file = Path(words[0])
    text = file.read_text()
    for word in words[1:]:
        assert not word.startswith("--") or f'"{word}"' in text, f"{file} has no {word}"


def read_torchrun(command: Shown, words: list[str]) -> None:
    module = words.index("-m")
    read_python(command, words[module:])
    load_training(words[module + 2], words[module + 3 :])


def read_make(command: Shown, words: list[str]) -> None:
    assert f"\n{words[0]}: " in Path("Makefile").read_text()


READERS: dict[str, Callable[[Shown, list[str]], None]] = {
    "tokenmill": read_tokenmill, "python": read_python, "torchrun": read_torchrun, "make": read_make,
    "duckdb": lambda command, words: None,
}  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """What `make run` leaves: runs/demo, or the folder TOKENMILL_DEMO, or made now, in minutes."""
    folder = Path(os.environ.get("TOKENMILL_DEMO", REPOSITORY / "runs/demo"))
    if (folder / "hf/parity.json").exists():
        return folder
    scratch = tmp_path_factory.mktemp("demo")
    lay_out(scratch)
    subprocess.run(["bash", "infra/demo/run.sh", "runs/demo"], cwd=scratch, env=environment(), check=True)
    return scratch / "runs/demo"


def lay_out(folder: Path) -> None:
    """What a checkout has that commands name."""
    for name in ("configs", "infra", "tests", ".venv"):
        (folder / name).symlink_to(REPOSITORY / name)


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY / ".venv/bin"), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}


@pytest.fixture
def folder(demo, tmp_path) -> Path:
    """A checkout after `make run`."""
    here = tmp_path / "tokenmill"
    here.mkdir()
    lay_out(here)
    shutil.copytree(demo, here / "runs/demo", symlinks=True)
    return here


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page, folder):
    commands = [one for one in shown_commands(page) if not any(re.match(why, one.text) for why in NOT_TYPED)]
    if commands:
        stand_in(page, folder)
    for command in commands:
        said = next((said for pattern, said in UNTIL.items() if re.match(pattern, command.text)), None)
        code, errors = type_it(command, folder) if said is None else until_it_says(command, folder, said)
        assert code == (2 if command.error else 0), f"{command}: {command.text}\n{errors}"
        assert "Traceback" not in errors
        assert "\n".join(command.error) in errors


def type_it(command: Shown, folder: Path) -> tuple[int, str]:
    done = subprocess.run(["bash", "-c", command.text], cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LONGEST, check=False)  # fmt: skip
    return done.returncode, done.stderr


def until_it_says(command: Shown, folder: Path, said: str) -> tuple[int, str]:
    """Start it, wait for what it says, press Ctrl-C."""
    running = subprocess.Popen(["bash", "-c", f"exec {command.text}"], cwd=folder, env=environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if said in line:
            running.send_signal(signal.SIGINT)
    running.stdout.close()
    return running.wait(60), "".join(lines)


def stand_in(page: Path, folder: Path) -> None:
    """What the names on a page stand for, made of the demo: a crawl, a tokenizer, texts, benchmarks, stages."""
    demo = folder / "runs/demo"
    (folder / "crawl").symlink_to(demo / "input/crawl")
    (folder.parent / "shared/data").mkdir(parents=True)
    (folder.parent / "shared/data/web").symlink_to(demo / "input/crawl")
    (folder / "path/to").mkdir(parents=True)
    for name in ("path/to/tokenizer.json", "gpt2-tokenizer.json"):
        shutil.copy(demo / "data/tokens/tokenizer.json", folder / name)
    if page.name not in ("README.md", "forecast.md", "stages.md"):  # which build it, or say what it would cost
        shutil.copytree(demo / "data", folder / "OUT")
    (folder / "OLD").symlink_to(demo / "data")
    texts = [row["text"] for row in pq.read_table(demo / "data/documents", columns=["text"]).to_pylist()]
    for name, some in (("pos", texts[::2]), ("neg", texts[1::2]), ("held/a", texts[:90:2]), ("pool/a", texts[1:90:2]),
                       ("held-out", texts[:9])):  # fmt: skip
        write_texts(folder / f"{name}.jsonl", some)
    (folder / "good").mkdir()
    answers = [str(json.loads(line)["messages"]) for line in (demo / "input/conversations.jsonl").open()]
    pq.write_table(pa.table({"text": answers}), folder / "good/a.parquet")
    (folder / "BENCHMARKS").mkdir()
    for name in ("hellaswag", "arc_easy"):
        shutil.copy(demo / "input/benchmark.jsonl", folder / "BENCHMARKS" / f"{name}.jsonl")
    if page.name == "extraction.md":
        (folder / "FOLDER").mkdir()
        rows = pa.Table.from_pylist([labelled_page(number) for number in range(80)], labelled.SCHEMA)
        for name in ("wcxb-dev", "phrases"):
            pq.write_table(rows, folder / "FOLDER" / f"{name}.parquet")
    (folder / "my_stages").mkdir()
    for name, code in stages_of(page):
        (folder / "my_stages" / name).write_text(code)
    (folder / "CONFIG").write_text(yaml.safe_dump(config_of(page)))


def write_texts(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def stages_of(page: Path) -> Iterator[tuple[str, str]]:
    """The files that a page shows in full: they begin with their name."""
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        if named := re.match(r'"""(\w+\.py): ', code):
            yield named[1], code


def config_of(page: Path) -> dict[str, object]:
    """The demo's, with the stages that the page is about."""
    tree = yaml.safe_load((REPOSITORY / "configs/pipeline/demo.yaml").read_text())
    if page.name == "classifier.md":
        tree["filter"].append({"quality_classifier": {"model": "quality.bin", "min_score": None}})
    if page.name == "stages.md":
        tree["filter"] += [{"shouting.NoShouting": {"max_share": 0.5}}, {"loud.NoShouting": {}}]
    return tree
