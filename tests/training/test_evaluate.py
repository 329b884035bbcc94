"""Figures of an evaluation: by hand, and as lm-evaluation-harness's HFLM finds them for the exported model."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.manifest import TokenizerInfo, TokensManifest
from pipeline.contract.shards import DOCS_SCHEMA, write_shard
from training.bits_per_byte import measure
from training.chat import add_chat_tokens
from training.evaluate import EvalConfig, run_eval
from training.export import write_hf
from training.model import Transformer
from training.vocabulary import Vocabulary

Build = Callable[..., Transformer]
TEXTS = ["Hello, world.", "naïve 漢字 🙂", "a" * 130]


@pytest.fixture
def vocabulary(byte_tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer=byte_tokenizer, end_of_text_id=256)


def write(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def bits_by_hand(model: Transformer, texts: list[str], limit: int) -> float:
    """Total bits over total bytes; pieces of `limit` tokens, each after what is before it."""
    nats = 0.0
    for text in texts:
        ids = [256, *text.encode()]
        for start in range(1, len(ids), limit):
            end = min(start + limit, len(ids))
            window = ids[max(0, end - limit - 1) : end]
            scores = model(torch.tensor([window[:-1]])).log_softmax(-1)[0]
            nats -= sum(float(scores[i - 1, window[i]]) for i in range(len(window) - (end - start), len(window)))
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def test_bits_per_byte_of_text_files(random_model: Build, vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = random_model(vocabulary_size=257)
    wanted = bits_by_hand(model, TEXTS, 48)
    found = measure(model, vocabulary, write(tmp_path / "a.jsonl", *({"text": text} for text in TEXTS)))
    assert found.bits_per_byte == pytest.approx(wanted, rel=1e-5)
    assert (found.documents, found.tokens, found.bytes) == (3, 161, 161)
    assert found.nats_per_token == pytest.approx(wanted * math.log(2), rel=1e-5)
    pq.write_table(pa.table({"text": [*TEXTS, None, ""]}), tmp_path / "a.parquet")
    assert measure(model, vocabulary, tmp_path / "a.parquet") == found
    (tmp_path / "a.txt").write_text(TEXTS[1])
    assert measure(model, vocabulary, tmp_path / "a.txt").bits_per_byte == pytest.approx(
        bits_by_hand(model, [TEXTS[1]], 48), rel=1e-5
    )
    assert measure(model, vocabulary, tmp_path / "a.jsonl", limit=2).documents == 2


def shards(folder: Path, texts: list[str], size: int = 257) -> Path:
    documents = [[*text.encode(), 256] for text in texts]
    lengths = [len(ids) for ids in documents]
    rows = {"id": [str(n) for n in range(len(texts))], "url": [""] * len(texts), "warc_path": [""] * len(texts),
            "warc_offset": [0] * len(texts), "start": np.cumsum([0, *lengths[:-1]]), "length": lengths}  # fmt: skip
    folder.mkdir()
    tokens = np.concatenate([np.array(ids, np.uint16) for ids in documents])
    info = write_shard(folder / "00000.ds", tokens, pa.table(rows).cast(DOCS_SCHEMA))
    tokenizer = TokenizerInfo(name="bytes", sha256="0", vocabulary_size=size, end_of_text_id=256)
    TokensManifest(format_version=1, tokenizer=tokenizer, dtype="uint16", seed=0, tokens=len(tokens),
                   documents=len(texts), shards=(info,)).write(folder)  # fmt: skip
    return folder


def test_bits_per_byte_of_shards_are_those_of_their_text(
    random_model: Build, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model = random_model(vocabulary_size=257)
    found = measure(model, vocabulary, shards(tmp_path / "tokens", TEXTS))
    assert found == measure(model, vocabulary, write(tmp_path / "a.jsonl", *({"text": text} for text in TEXTS)))


def test_shards_of_another_tokenizer_are_refused(random_model: Build, vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another tokenizer"):
        measure(random_model(), vocabulary, shards(tmp_path / "tokens", TEXTS, size=300))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"a", "neither a folder of token shards nor a text file"),
        ("a.txt", b"\xff", "is not UTF-8"),
        ("a.txt", b"", "holds no text"),
        ("a.jsonl", b'{"texts": "a"}', "a.jsonl:1: is not an object with a text"),
        ("a.parquet", b"PAR1", "cannot be read as parquet"),
    ],
)
def test_text_that_cannot_be_measured(
    random_model: Build, vocabulary: Vocabulary, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem):
        measure(random_model(), vocabulary, tmp_path / name)


def instances(kind: str, arguments: list[tuple[object, ...]]) -> list[object]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, argument, number) for number, argument in enumerate(arguments)]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_adapter_finds_what_the_harness_finds_for_the_exported_model(
    random_model: Build, byte_tokenizer: Tokenizer, tmp_path: Path, kind: str
) -> None:
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="needs accelerate", exc_type=ImportError)
    from training.lm_adapter import TokenmillLM

    vocabulary = Vocabulary(tokenizer=add_chat_tokens(byte_tokenizer), end_of_text_id=256)
    model = random_model(type=kind, kv_heads=2, tied=False)
    folder = write_hf(model, vocabulary, tmp_path / "hf")
    theirs = huggingface.HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=3)
    ours = TokenmillLM(model, vocabulary)
    pairs = [("Question: why?\nAnswer:", " no"), ("Question: why?\nAnswer:", " yes, indeed"), ("", " hello"),
             ("a space at the end ", "word"), ("long " * 30, "and more"), ("é漢", "字"), ("x", "y" * 40),
             ("", "<|endoftext|>a"), ("<|user|>Hi<|end_turn|><|assistant|>", "Hello<|end_turn|>")]  # fmt: skip
    found = ours.loglikelihood(instances("loglikelihood", pairs))
    wanted = theirs.loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in wanted], abs=1e-3)
    texts: list[tuple[object, ...]] = [("some words",), ("many words " * 20,), ("a" * 48,), ("a" * 49,)]
    rolling = ours.loglikelihood_rolling(instances("loglikelihood_rolling", texts))
    wanted_rolling = theirs.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True)
    assert rolling == pytest.approx(wanted_rolling, rel=1e-5)
    asked = {"until": ["q"], "max_gen_toks": 12, "do_sample": False}
    prompts: list[tuple[object, ...]] = [(text, dict(asked)) for text in ("Hello", "a b c " * 20, "x")]
    written = ours.generate_until(instances("generate_until", prompts))
    assert written == theirs.generate_until(instances("generate_until", prompts), disable_tqdm=True)


def test_bos_goes_before_each_context_once(random_model: Build, vocabulary: Vocabulary) -> None:
    pytest.importorskip("lm_eval")
    from training.lm_adapter import AdapterOptions, TokenmillLM

    model = random_model(vocabulary_size=257)
    adapter = TokenmillLM(model, vocabulary, AdapterOptions(bos=True))
    plain = TokenmillLM(model, vocabulary)
    pairs: list[tuple[object, ...]] = [("ab", "c"), ("<|endoftext|>ab", "c")]
    [with_bos, already] = adapter.loglikelihood(instances("loglikelihood", pairs))
    assert with_bos == already == plain.loglikelihood(instances("loglikelihood", pairs[1:]))[0]
    assert with_bos != plain.loglikelihood(instances("loglikelihood", pairs[:1]))[0]


def test_an_evaluation_from_checkpoint_to_table(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("lm_eval")
    monkeypatch.chdir(tmp_path)  # not in a git repository, which the harness's git would complain about
    run = save_parent(random_model(vocabulary_size=257))
    items = [{"id": str(n), "query": f"{n} + 1 =", "choices": [str(n + 1), "no"], "label": 0} for n in range(6)]
    subjects = [{**item, "choices": ["a", "b", "c", "d"], "subject": f"s{n % 2}"} for n, item in enumerate(items)]
    folder = tmp_path / "tasks"
    folder.mkdir()
    write(folder / "arc_easy.jsonl", *items)
    write(folder / "mmlu.jsonl", *subjects)
    write(folder / "lambada.jsonl", {"id": "0", "context": "one two", "target": "three"},
          {"id": "1", "context": "four five", "target": "six"})  # fmt: skip
    (tmp_path / "text.txt").write_text("Some text.")
    excluded = write(tmp_path / "dirty.jsonl", {"task": "arc_easy", "id": "3"})
    config = EvalConfig(
        text=(str(tmp_path / "text.txt"),), tasks=("arc_easy", "mmlu", "lambada"), tasks_dir=str(folder),
        exclude=str(excluded), device="cpu",
    )  # fmt: skip
    screen = io.StringIO()
    results = run_eval(run, config, console=Console(file=screen, width=250))
    name = "step-00000003-text-arc_easy-mmlu-lambada"
    assert json.loads((run / "eval" / f"{name}.json").read_text()) == json.loads(json.dumps(results))
    assert f"written to {run.resolve() / 'eval' / name}.json" in " ".join(screen.getvalue().split())
    assert "git" not in "".join(capfd.readouterr())
    easy = results["tasks"]["arc_easy"]
    assert (easy["items"], easy["excluded"], easy["fewshot"], easy["chance"]) == (5, 1, 0, 0.5)
    assert easy["acc_stderr"] == pytest.approx(math.sqrt(easy["acc"] * (1 - easy["acc"]) / 4))
    assert results["tasks"]["mmlu"]["items"] == 6
    assert results["tasks"]["lambada"]["perplexity"] > 1
    assert results["bits_per_byte"][str(tmp_path / "text.txt")]["bytes"] == 10
    assert results["truncated_requests"] == 24  # the six items of mmlu with its four choices, in a context of 48
    for shown in ("arc_easy", "acc_norm", "bits/byte", "perplexity", "0.50"):
        assert shown in screen.getvalue()
    again = run_eval(run, config, console=Console(quiet=True))
    assert again == results
    assert sorted(path.name for path in (run / "eval").iterdir()) == ["latest.json", f"{name}-2.json", f"{name}.json"]
    assert (run / "eval" / "latest.json").resolve().name == f"{name}-2.json"


def test_evaluations_of_one_checkpoint_all_stay(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    run = save_parent(random_model(vocabulary_size=257))
    texts = [str(write(tmp_path / f"{name}.jsonl", {"text": name})) for name in ("a b", "c", "d" * 200)]
    for text in ((texts[0],), (texts[1],), (texts[0], texts[1]), (texts[2],), (texts[0],)):
        run_eval(run, EvalConfig(text=text, device="cpu"), console=Console(quiet=True))
    names = ["a_b", "a_b-2", "a_b-c", "c", "d" * 80]
    written = sorted(path.name for path in (run / "eval").glob("step-*.json"))
    assert written == sorted(f"step-00000003-{name}.json" for name in names)
    latest = json.loads((run / "eval" / "latest.json").read_text())
    assert list(latest["bits_per_byte"]) == [texts[0]]
    own = EvalConfig(text=(texts[1],), device="cpu", output=str(tmp_path / "own.json"))
    run_eval(run, own, console=Console(quiet=True))
    assert (tmp_path / "own.json").exists()
    assert len(list((run / "eval").iterdir())) == len(names) + 1


def test_contexts_that_do_not_fit_are_counted(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    run = save_parent(random_model(vocabulary_size=257))
    fits = 48 + 1 - len("Question: \nAnswer:") - len(" bb")
    rows = [{"query": "a" * length, "choices": ["bb", "cc"], "label": 0} for length in (fits, fits + 1)]
    write(tmp_path / "piqa.jsonl", *rows)
    screen = io.StringIO()
    config = EvalConfig(tasks=("piqa",), tasks_dir=str(tmp_path), device="cpu")
    assert run_eval(run, config, console=Console(file=screen, width=120))["truncated_requests"] == 2
    assert "2 requests were longer than the model's context of 48" in screen.getvalue()


def test_an_item_without_a_field_of_the_prompt_is_said(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    run = save_parent(random_model(vocabulary_size=257))
    write(tmp_path / "copa.jsonl", {"query": "It rained.", "choices": ["A.", "B."], "label": 0})
    with pytest.raises(InputError, match="tasks: an item lacks a field that its task's prompt has: 'raw' is undefined"):
        run_eval(run, EvalConfig(tasks=("copa",), tasks_dir=str(tmp_path), device="cpu"))


def test_more_examples_than_there_are_is_said(tmp_path: Path) -> None:
    write(tmp_path / "piqa.jsonl", *[{"query": str(n), "choices": ["b", "c"], "label": 0} for n in range(3)])
    config = EvalConfig(tasks=("piqa",), tasks_dir=str(tmp_path), fewshot=3)
    with pytest.raises(ConfigError, match="fewshot: task 'piqa' has 2 examples, got 3"):
        run_eval(tmp_path, config)


def test_chat_needs_a_model_that_was_taught_it(
    random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    run = save_parent(random_model(vocabulary_size=257))
    write(tmp_path / "piqa.jsonl", {"query": "a", "choices": ["b", "c"], "label": 0})
    with pytest.raises(InputError, match="was not taught the chat format"):
        run_eval(run, EvalConfig(tasks=("piqa",), tasks_dir=str(tmp_path), chat=True, device="cpu"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "nothing to measure"),
        ({"tasks": ["a"]}, "tasks_dir: is needed for tasks"),
        ({"text": ["a"], "limit": 0}, "limit: must be at least 1, got 0"),
    ],
)
def test_impossible_settings(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        build(EvalConfig, fields, "eval")
