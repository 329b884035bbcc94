"""The table of an evaluation."""

import io
from typing import Any

from rich.console import Console

from training.evaluation.result_table import contamination_notes, result_table


def shown(tasks: dict[str, Any]) -> list[list[str]]:
    """The words of each line."""
    screen = io.StringIO()
    results = {"checkpoint": "run", "step": 3, "bits_per_byte": {}, "tasks": tasks}
    Console(file=screen, width=140).print(result_table(results))
    return [line.replace("│", " ").split() for line in screen.getvalue().splitlines()]


SCORES = {"acc": 0.5, "acc_stderr": 0.25, "perplexity": 7.0, "items": 5, "chance": 0.25}


def test_a_score_has_its_error_and_what_guessing_scores() -> None:
    lines = shown({"arc_easy": SCORES})
    assert ["arc_easy", "acc", "0.500", "±", "0.250", "0.25", "5"] in lines
    assert ["arc_easy", "perplexity", "7.0000", "5"] in lines
    assert not any("clean" in line for line in lines)


def test_clean_scores_stand_beside_the_full_ones() -> None:
    tasks = {"arc_easy": {**SCORES, "clean": {"acc": 0.25, "items": 4}, "contaminated": {"items": 1}, "unchecked": 2}}
    assert ["arc_easy", "acc", "0.500", "±", "0.250", "0.25", "5", "0.2500", "4"] in shown(tasks)
    [note] = contamination_notes(tasks)
    assert note == "arc_easy: of 5 items 1 on pages that were kept; 2 could not be looked for and counted as clean"


def test_tasks_without_known_contamination_have_no_note() -> None:
    assert not list(contamination_notes({"arc_easy": SCORES}))
