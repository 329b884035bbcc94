"""The command line: every command documented, mistakes named on one line with exit 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app

REPOSITORY = Path(__file__).resolve().parents[3]


def tokenmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("name", sorted(get_command(app).commands))
def test_every_command_stands_in_the_readme_and_has_help(name):
    readme = (REPOSITORY / "README.md").read_text()
    assert f"`{name}" in readme, f"`tokenmill {name}` is not in README.md"
    assert get_command(app).commands[name].help or get_command(app).commands[name].callback.__doc__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "none.yaml"], "ConfigError: none.yaml: cannot read the config: No such file or directory"),
        (["build", "configs/pipeline/demo.yaml", "--input", "none*"], "InputError: none*: no file matches"),
        (["build", "configs/pipeline/demo.yaml", "--set", "sed=1"], "unknown field 'sed'"),
        (["verify", "configs"], "InputError: configs: is not a run folder"),
        (["trace", "configs"], "UserError: trace: give one of --url, --domain, or --shard with --position"),
        (["remove", "configs", "--output", "x"], "UserError: remove: nothing to remove"),
        (["train", "configs/training/demo-1m.yaml", "--set", "data.tokens=/none"], "/none: holds no token shards"),
        (["sample", "/none"], "InputError: /none: is not there"),
        (["export", "/none", "x", "--to", "gguf"], "unknown format 'gguf'"),
        (["export", "OUT", "x", "--to", "mds"], "tokenmill export-shards OUT FOLDER --to mds"),
        (["export-shards", "/none", "x", "--to", "hf"], "unknown format 'hf'"),
        (["cake"], "No such command 'cake'"),
    ],
)
def test_mistakes_are_named_and_exit_2(arguments, message):
    done = tokenmill(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_build_from_the_command_line_to_the_last_check(tmp_path):
    write_warc(tmp_path / "a.warc.gz", [Page(url=f"https://a.example/{i}", html=article(i)) for i in range(5)])
    (tmp_path / "c.yaml").write_text(
        "extract: [{main_text: {engine: resiliparse}}]\ntokenize: {train_tokenizer: {vocabulary_size: 300}}"
    )
    out = tmp_path / "out"
    done = tokenmill("build", f"{tmp_path}/c.yaml", "--input", f"{tmp_path}/a.warc.gz", "--output", str(out), "--local",
                     "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)
    assert (totals["read"], totals["kept"]) == (5, 5)
    assert "extract: 1/1 tasks, 5 read, 5 kept" in done.stderr
    assert json.loads(tokenmill("verify", str(out), "--json").stdout)["ok"] is True
    assert json.loads(tokenmill("stats", str(out), "--json").stdout) == totals
    assert json.loads(tokenmill("status", str(out), "--json").stdout)["state"] == "done"
    [found] = json.loads(tokenmill("trace", str(out), "--url", "https://a.example/3", "--json").stdout)
    assert found["outcome"] == "kept"
    (out / "tokens/00000.ds").write_bytes(b"")
    assert tokenmill("verify", str(out)).returncode == 1


def test_data_commands_start_without_torch_and_training_without_ray():
    code = "import sys, pipeline.cli.main, pipeline.flow; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
    code = "import sys, training.pretrain; sys.exit('ray' in sys.modules or 'trafilatura' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_tokens_are_exported_for_other_trainers(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "one two three"}\n{"text": "four"}\n')
    (tmp_path / "c.yaml").write_text("dedup: null\ntokenize: {train_tokenizer: {vocabulary_size: 257}}\n")
    out, target = tmp_path / "out", tmp_path / "megatron"
    built = tokenmill("build", f"{tmp_path}/c.yaml", "--local", "--quiet", "--input", f"{tmp_path}/in.jsonl",
                      "--output", str(out))  # fmt: skip
    assert built.returncode == 0, built.stderr
    tokens = len("one two three") + len("four") + 2
    done = tokenmill("export-shards", str(out), str(target), "--to", "megatron")
    assert f"{tokens} tokens in 2 files" in done.stdout
    assert (target / "tokens.bin").stat().st_size == 2 * tokens
    assert tokenmill("export-shards", str(out), str(target), "--to", "llmc").returncode == 2
