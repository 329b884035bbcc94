"""Accuracy of language identification for each language of a labelled file.

    python tests/benchmarks/languages.py [FILE] [--model lid.176.ftz] [--json]

FILE (default: text/langid.jsonl of the shared test data) holds lines with `lang` (ISO 639-1) and `text`. Prints, worst
first, how many texts of a language are recognized, how many of those at 0.65 or more, and what the others were taken
for. Languages the model has no label for are listed last.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.stages.support import fasttext_models

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=SHARED / "text" / "langid.jsonl")
    parser.add_argument("--model", default="lid.176.ftz")
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    arguments = parser.parse_args()
    answers: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for line in arguments.file.read_text("utf-8").splitlines():
        row = json.loads(line)
        answers[row["lang"]].append(fasttext_models.identify(row["text"], model=arguments.model, max_chars=3000))
    known = {language for language in answers if language in fasttext_models._languages(arguments.model)}

    def right(language: str, least: float = 0.0) -> float:
        found = answers[language]
        return sum(answer == language and score >= least for answer, score in found) / len(found)

    print(f"{'language':10} {'texts':>6} {'right':>6} {'at 0.65':>8}  taken for")
    for language in sorted(answers, key=lambda language: (language not in known, right(language), language)):
        wrong = Counter(answer for answer, _ in answers[language] if answer != language).most_common(3)
        label = language if language in known else f"({language})"
        confused = ", ".join(f"{answer} {count}" for answer, count in wrong)
        print(f"{label:10} {len(answers[language]):6} {right(language):6.2f} {right(language, 0.65):8.2f}  {confused}")
    texts = sum(len(answers[language]) for language in known)
    accuracy = sum(right(language) * len(answers[language]) for language in known) / texts
    print(f"{len(known)} languages with a label: {accuracy:.3f} of {texts} texts right")
    if arguments.json:
        by_language = {language: right(language) for language in sorted(answers)}
        print(json.dumps({"accuracy": accuracy, "by_language": by_language}))


if __name__ == "__main__":
    main()
