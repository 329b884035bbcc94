"""Scores with and without items that the model may have read: from a page with an item on it to both figures."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from warc_pages import Page, article, write_warc

from pipeline.contract.contamination import read_contamination
from pipeline.contract.errors import InputError
from training.evaluation.config import EvalConfig
from training.evaluation.contamination_scores import ContaminationRecord, split_scores
from training.evaluation.evaluate import run_eval
from training.evaluation.local_tasks import load_task
from training.model.transformer import Transformer

Build = Callable[..., Transformer]
QUESTIONS = [
    "Which of these tools does a miller lift with a crane in order to dress its grooves again",
    "What does the keeper of a lighthouse wind up every few hours during the whole long night",
    "Why do bees leave the old hive in early summer together with a queen of many seasons",
    "How does a compost heap keep warm through a winter that freezes the ground all around it",
    "Too short to look for",
]


def write(path: Path, items: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def items(**more: Any) -> list[dict[str, Any]]:
    return [
        {"query": question, "choices": ["yes", "no"], "label": n % 2, **more} for n, question in enumerate(QUESTIONS)
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Benchmarks, and `out`: a build that met question 0 on a page it kept, and question 1 on a page it dropped."""
    from pipeline.config import load_config
    from pipeline.flow import build

    folder = tmp_path_factory.mktemp("built")
    write(folder / "arc_easy.jsonl", [{"id": f"q{n}", **item} for n, item in enumerate(items())])
    write(folder / "own.jsonl", items())  # without ids: called by their lines
    # Two subjects, as two tasks of the harness that make one score.
    write(folder / "mmlu.jsonl", [{"id": f"m{n}", **item, "choices": list("abcd"), "subject": f"s{n % 2}"}
                                  for n, item in enumerate(items())])  # fmt: skip
    write(folder / "piqa.jsonl", items())  # not looked for
    twice = article(3).replace("</main>", f"<p>{QUESTIONS[1]}?</p></main>")
    pages = [
        Page(url="https://a.example/0", html=article(1).replace("</main>", f"<p>{QUESTIONS[0]}?</p></main>")),
        Page(url="https://a.example/1", html=article(2)),
        Page(url="https://a.example/2", html=twice.replace("<main>", "<main><p>lorem ipsum dolor</p>")),
    ]
    write_warc(folder / "a.warc.gz", pages)
    names = [str(folder / f"{name}.jsonl") for name in ("arc_easy", "own", "mmlu")]
    (folder / "c.yaml").write_text(
        "extract: [{main_text: {engine: resiliparse}}]\n"
        f"filter: [{{decontaminate: {{benchmarks: {json.dumps(names)}, max_overlap: null}}}}, c4]\n"
        "tokenize: {train_tokenizer: {vocabulary_size: 400}}\nrun: {isolate: false}\n"
    )
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/a.warc.gz"], output=str(folder / "out"), local=True)
    build(config, quiet=True)
    return folder


def test_the_states_of_a_task_s_items(built: Path) -> None:
    wanted = ["contaminated", "clean", "clean", "clean", "unchecked"]
    record = ContaminationRecord(built / "out")
    assert load_task("arc_easy", built, record=record).states == {"arc_easy": wanted}
    assert load_task("own", built, record=record).states == {"own": wanted}
    assert load_task("mmlu", built, record=record).states == {"mmlu_s0": wanted[::2], "mmlu_s1": wanted[1::2]}
    assert load_task("arc_easy", built, {"q0", "q2"}, record).states == {"arc_easy": ["clean", "clean", "unchecked"]}
    assert load_task("arc_easy", built).states == {}
    assert sum(state == "contaminated" for state in read_contamination(built / "out").states.values()) == 3


def test_full_and_clean_scores_side_by_side(
    built: Path, random_model: Build, save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    run = save_parent(random_model(vocab_size=257))
    screen = io.StringIO()
    tasks = ("arc_easy", "mmlu", "own")
    config = EvalConfig(tasks=tasks, tasks_dir=str(built), exclude_contaminated=str(built / "out"), device="cpu")
    results = run_eval(run, config, console=Console(file=screen, width=250))["tasks"]
    for name in tasks:
        scores = results[name]
        clean, dirty = scores["clean"], scores["contaminated"]
        assert (scores["items"], clean["items"], dirty["items"], scores["unchecked"]) == (5, 4, 1, 1)
        assert scores["acc"] * 5 == pytest.approx(clean["acc"] * 4 + dirty["acc"])
        assert clean["acc_stderr"] == pytest.approx(math.sqrt(clean["acc"] * (1 - clean["acc"]) / 3))
        assert "acc_stderr" not in dirty  # of one item there is none
    assert "clean value" in screen.getvalue()
    assert "arc_easy: of 5 items 1 on pages that were kept; 1 could not be looked for" in screen.getvalue()
    # Scoring only the clean ones from the start gives the same figures.
    left_out = write(tmp_path / "dirty.jsonl", [{"id": "q0"}, {"id": "m0"}])
    only = EvalConfig(tasks=tasks[:2], tasks_dir=str(built), exclude=str(left_out), device="cpu")
    again = run_eval(run, only, console=Console(quiet=True))["tasks"]
    for name in tasks[:2]:
        assert results[name]["clean"]["acc"] == pytest.approx(again[name]["acc"])
    assert "clean" not in again["arc_easy"]


def test_metrics_by_hand() -> None:
    def mean(values: Any) -> float:
        return sum(values) / len(values)

    logged = [
        {"doc_id": n, "filter": name, "metrics": ["acc"], "acc": float(n in right)}
        for name, right in (("none", {0, 1}), ("strict", {2}))
        for n in range(4)
    ]
    states = {"t": ["contaminated", "clean", "unchecked", "clean"]}
    found = split_scores(states, {"t": logged}, {"acc": mean}, lambda _: None)  # type: ignore[arg-type]
    assert found == {
        "clean": {"acc": pytest.approx(1 / 3), "acc/strict": pytest.approx(1 / 3), "items": 3},
        "contaminated": {"acc": 1.0, "acc/strict": 0.0, "items": 1},
        "unchecked": 1,
    }
    all_clean = split_scores({"t": ["clean"] * 4}, {"t": logged}, {"acc": mean}, lambda _: None)
    assert all_clean["contaminated"] == {"items": 0}


def test_tasks_that_the_run_did_not_look_for_are_refused(built: Path, tmp_path: Path) -> None:
    record = ContaminationRecord(built / "out")
    with pytest.raises(
        InputError, match=r"task 'piqa': .* did not look for the items of piqa.jsonl\n  known: arc_easy"
    ):
        load_task("piqa", built, record=record)
    write(tmp_path / "arc_easy.jsonl", [{"id": "q0", **item} for item in items()][:2])
    with pytest.raises(InputError, match=r"looked for the items of another arc_easy\.jsonl"):
        load_task("arc_easy", tmp_path, record=record)
    with pytest.raises(InputError, match="is not a run folder"):
        ContaminationRecord(tmp_path)
