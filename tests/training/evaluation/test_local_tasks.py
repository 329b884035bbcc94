"""Tasks over local files ask what lm-evaluation-harness's own tasks ask."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.contract.errors import InputError
from training.evaluation.local_tasks import Items, available, load_task, load_tasks, read_excluded, task_names

GOOD = {"id": "a", "query": "1 + 1 =", "choices": ["2", "3"], "label": 0}


def write(path: Path, *items: Any) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def requests(config: dict[str, Any], limit: int, fewshot: int = 0) -> list[Any]:
    """What a task asks a model about its first items."""
    from lm_eval.api.task import ConfigurableTask

    task = ConfigurableTask(config=dict(config))
    task.set_config("num_fewshot", fewshot)
    task.set_fewshot_seed(1234)
    task.build_all_requests(limit=limit, rank=0, world_size=1)
    return [instance.args for instance in task.instances]


# The fields that the harness's own tasks read, from ours.
UPSTREAM: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "hellaswag": ("hellaswag/hellaswag.yaml", lambda row: row),
    "arc_easy": ("arc/arc_easy.yaml", lambda row: row["raw"]),
    "arc_challenge": ("arc/arc_challenge.yaml", lambda row: row["raw"]),
    "piqa": ("piqa/piqa.yaml", lambda row: row["raw"]),
    "openbookqa": ("openbookqa/openbookqa.yaml", lambda row: row["raw"]),
    "winogrande": ("winogrande/default.yaml", lambda row: row["raw"]),
    "commonsense_qa": ("commonsense_qa/default.yaml", lambda row: row["raw"]),
    "social_iqa": ("siqa/siqa.yaml", lambda row: row["raw"]),
    "copa": ("super_glue/copa/default.yaml", lambda row: row["raw"]),
    "boolq": (
        "super_glue/boolq/default.yaml",
        lambda row: {"passage": row["context"], "question": row["query"], "label": row["label"]},
    ),
    "lambada": ("lambada/lambada_openai.yaml", lambda row: {"text": row["context"] + " " + row["target"]}),
    "mmlu": ("mmlu/default/mmlu_abstract_algebra.yaml",
             lambda row: {"question": row["query"], "choices": row["choices"], "answer": row["label"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", UPSTREAM)
def test_the_questions_are_the_harness_s_own(shared_data: Path, name: str) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks._yaml_loader import load_yaml

    file, fields = UPSTREAM[name]
    ours = load_task(name, shared_data / "eval").configs[0]
    rows = ours["custom_dataset"]()["test"][:25]
    theirs = load_yaml(Path(lm_eval.__file__).parent / "tasks" / file, resolve_func=True, recursive=True)
    theirs = {key: value for key, value in theirs.items() if key not in ("tag", "dataset_path", "process_docs")}
    splits = {"training_split": None, "validation_split": None, "test_split": "test", "fewshot_split": None}
    data = Items(fields(row) for row in rows)
    found = requests(ours, 25)
    assert found == requests({**theirs, **splits, "custom_dataset": lambda **_: {"test": data}}, 25)
    assert len(found) >= min(18, len(rows))  # 18 items of a subject of MMLU


def test_every_file_here_becomes_a_task(shared_data: Path) -> None:
    folder = shared_data / "eval"
    assert available(folder) == task_names()
    tasks = {task.name: task for task in load_tasks(["all"], folder)}
    assert (tasks["hellaswag"].items, tasks["hellaswag"].chance) == (500, 0.25)
    assert (tasks["mmlu"].items, len(tasks["mmlu"].configs)) == (1026, 57)
    assert tasks["gsm8k"].chance is None
    assert tasks["arc_easy"].chance == pytest.approx(0.25, abs=0.005)


def test_solved_examples_never_are_the_item_itself(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    items = [{**GOOD, "id": str(number), "query": f"{number} + 1 ="} for number in range(5)]
    write(tmp_path / "arc_easy.jsonl", *items)
    found = requests(load_task("arc_easy", tmp_path).configs[0], 5, fewshot=3)
    for number in range(5):
        context = found[2 * number][0]
        assert context.endswith(f"Question: {number} + 1 =\nAnswer:")
        assert context.count("Question:") == 4
        assert context.count(f"Question: {number} + 1 =") == 1


def test_mmlu_shows_the_first_examples_of_the_same_subject(shared_data: Path) -> None:
    pytest.importorskip("lm_eval")
    [config] = [part for part in load_task("mmlu", shared_data / "eval").configs if part["task"] == "mmlu_anatomy"]
    context = requests(config, 1, fewshot=5)[0][0]
    assert context.startswith("The following are multiple choice questions (with answers) about anatomy.\n\n")
    assert context.count("Answer:") == 6


def test_a_file_of_your_own_is_scored_as_multiple_choice(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    write(tmp_path / "mine.jsonl", GOOD, {**GOOD, "id": "b", "context": "Sums."})
    assert available(tmp_path) == ["mine"]
    assert requests(load_task("mine", tmp_path).configs[0], 2) == [
        ("1 + 1 =", " 2"), ("1 + 1 =", " 3"), ("Sums.\n1 + 1 =", " 2"), ("Sums.\n1 + 1 =", " 3"),
    ]  # fmt: skip


def test_contaminated_items_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "arc_easy.jsonl", GOOD, {**GOOD, "id": "b"}, {**GOOD, "id": "c"})
    write(tmp_path / "piqa.jsonl", GOOD, {**GOOD, "id": "b"})
    excluded = read_excluded(write(tmp_path / "dirty.ids", "a", {"id": "b", "task": "arc_easy"}, {"id": "zzz"}))
    easy, piqa = load_tasks(["arc_easy", "piqa"], tmp_path, excluded)
    assert (easy.items, easy.excluded) == (1, 2)
    assert [item["id"] for item in easy.configs[0]["custom_dataset"]()["test"]] == ["c"]
    assert (piqa.items, piqa.excluded) == (1, 1)
    with pytest.raises(InputError, match="has 2 items, of which none is left to score"):
        load_task("piqa", tmp_path, {"a", "b"})


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (["a"], "expected an object, found list"),
        ({"choices": ["a"], "label": 0}, "needs a text 'query' or 'context'"),
        ({**GOOD, "choices": None}, "'choices' must be a list of texts"),
        ({**GOOD, "choices": ["a", ""]}, "'choices' must be a list of texts"),
        ({**GOOD, "label": 2}, "'label' must be an index into the 2 choices, found 2"),
        ({**GOOD, "label": None}, "'label' must be an index into the 2 choices, found None"),
        ({**GOOD, "label": "A"}, "'label' must be an index into the 2 choices, found 'A'"),
    ],
)
def test_a_line_that_is_no_item_is_named(tmp_path: Path, item: Any, problem: str) -> None:
    write(tmp_path / "piqa.jsonl", GOOD, item)
    with pytest.raises(InputError, match=f"piqa.jsonl:2: .*{problem}"):
        load_task("piqa", tmp_path)


def test_missing_files_and_unknown_tasks_list_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "arc_easy.jsonl", GOOD)
    with pytest.raises(InputError, match=r"task 'arc_esy': .*is missing\n  known: arc_easy\n  did you mean 'arc_easy'"):
        load_task("arc_esy", tmp_path)
    with pytest.raises(InputError, match="task 'piqa'"):
        load_tasks(["arc_easy", "piqa"], tmp_path)
    (tmp_path / "boolq.jsonl").write_text("{\n")
    with pytest.raises(InputError, match=r"boolq\.jsonl:1: is not JSON"):
        load_task("boolq", tmp_path)


def test_a_name_given_twice_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "arc_easy.jsonl", GOOD)
    tasks = load_tasks(["arc_easy", "all", "arc_easy"], tmp_path)
    assert [task.name for task in tasks] == ["arc_easy"]
