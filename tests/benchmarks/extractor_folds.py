"""How good the learned extractor is on pages of domains that it was not trained on: folds by domain.

    python tests/benchmarks/extractor_folds.py FOLDER/wcxb-dev.parquet FOLDER/phrases.parquet [--folds 5]

FOLDER as written by `infra/extractor/labelled_pages.py`. Each fold trains a model on the pages of the other domains and
extracts its own; the scores of all folds together are printed as `tokenmill extractor eval` prints them.
"""

import argparse
from pathlib import Path

from pipeline.cli.extractor import print_evaluation
from pipeline.extractor import labelled, training
from pipeline.extractor.evaluation import evaluate
from pipeline.extractor.extraction import extract


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", nargs="+", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--trees", type=int, default=training.Recipe().trees)
    options = parser.parse_args()
    pages = list(labelled.read(options.labelled))
    examples = training.prepare(pages)
    texts: dict[bytes, str] = {}
    for fold in range(options.folds):
        others = [one for one in examples if training.fold_of(one.domain, options.folds, "measured ") != fold]
        model = training.train(others, training.Recipe(trees=options.trees), {})
        for page in pages:
            if training.fold_of(page.domain, options.folds, "measured ") == fold:
                texts[page.html] = extract(page.html, model).text
        print(f"fold {fold + 1} of {options.folds}: trained on {len(others):,} pages", flush=True)
    print_evaluation(evaluate((page for page in pages if page.gold is not None), texts.__getitem__))
    print_evaluation(evaluate((page for page in pages if page.gold is None), texts.__getitem__))


if __name__ == "__main__":
    main()
