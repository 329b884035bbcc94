"""`tokenmill classifier`: train a fastText quality classifier, and say how well it tells good from bad.

Two sets of texts in, one model and honest figures out: texts are split by a hash of their content, so that a copy of a
training text is never held out, and what stands in both sets is left out of both. One thread and a fixed seed: the same
texts give the same model, byte for byte. Joulin et al. 2016, arXiv:1607.01759; DCLM's recipe, arXiv:2406.11794.
"""

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.contract.errors import InputError
from pipeline.stages.support import fasttext_models
from pipeline.storage.files import write_atomic
from pipeline.tools.fasttext_training import fit

POSITIVE, NEGATIVE = "positive", "negative"
FALSE_POSITIVE_RATES = (0.01, 0.05, 0.1, 0.2, 0.5)
_SHARES = 1 << 32
Scores = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to train; defaults as DCLM: words and pairs of words, everything else fastText's own."""

    held_out: float = 0.1
    """Share of the texts that is kept for measuring, 0 to 0.9."""
    word_ngrams: int = 2
    """Longest run of words that is a feature."""
    dimensions: int = 100
    """Of the word vectors."""
    epochs: int = 5
    """Passes over the texts."""
    learning_rate: float = 0.1
    """At the start; it falls to 0."""
    min_count: int = 1
    """Rarer words are no features."""
    buckets: int = 2_000_000
    """Hash buckets for the word pairs; with the dimensions they make the model's size (4 bytes each)."""
    seed: int = 0
    """Of the split, the order and the initial vectors."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out <= 0.9:
            raise ValueError(f"held_out: must be between 0 and 0.9, got {self.held_out}")
        for name in ("word_ngrams", "dimensions", "epochs", "min_count", "buckets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate: must be above 0, got {self.learning_rate}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What one limit does."""

    min_score: float
    precision: float
    """Share of the texts kept that are positive."""
    recall: float
    """Share of the positives kept."""
    false_positive_rate: float
    """Share of the negatives kept."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How well a model tells positives from negatives."""

    positives: int
    negatives: int
    roc_auc: float
    """Chance that a positive scores above a negative (ties count half): 0.5 knows nothing, 1 everything."""
    at_half: Point
    points: tuple[Point, ...]
    """The limits that keep about 1, 5, 10, 20 and 50 % of the negatives."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What training came to."""

    positives: int
    """Texts trained on."""
    negatives: int
    repeated: int
    """Texts left out because they stood in their set before."""
    in_both: int
    """Texts left out because they stand in both sets."""
    evaluation: Evaluation | None
    """On the held-out texts; None where none are held out."""


def train(positives: Iterable[str], negatives: Iterable[str], output: Path, recipe: Recipe | None = None) -> Training:
    """Train a model and write it to `output`, atomically.

    Raises:
        InputError: a set has no text to train on, or none to hold out.
    """
    recipe = recipe or Recipe()
    wanted, repeated_here = _distinct(positives)
    unwanted, repeated_there = _distinct(negatives)
    both = wanted.keys() & unwanted.keys()
    trained: list[tuple[bytes, str, str]] = []
    held: dict[str, list[str]] = {POSITIVE: [], NEGATIVE: []}
    for label, texts in ((POSITIVE, wanted), (NEGATIVE, unwanted)):
        for digest, line in texts.items():
            if digest in both:
                continue
            place = _place(recipe.seed, digest)
            if int.from_bytes(place[:4], "big") < recipe.held_out * _SHARES:
                held[label].append(line)
            else:
                trained.append((place, label, line))
    numbers = {label: sum(found == label for _, found, _ in trained) for label in held}
    _refuse_empty(numbers, held if recipe.held_out else {})
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(output, lambda path: _fit(sorted(trained), recipe, path))
    evaluation = evaluate(str(output), held[POSITIVE], held[NEGATIVE]) if recipe.held_out else None
    return Training(positives=numbers[POSITIVE], negatives=numbers[NEGATIVE], repeated=repeated_here + repeated_there,
                    in_both=len(both), evaluation=evaluation)  # fmt: skip


def evaluate(model: str, positives: Iterable[str], negatives: Iterable[str], *, label: str = POSITIVE) -> Evaluation:
    """How well the fastText model at `model` tells the two sets of texts apart by the probability of `label`.

    Raises:
        InputError: a set has no text, or `model` is no fastText model with that label.
    """
    good, bad = (np.array([fasttext_models.probability(text, label, model=model) for text in texts])
                 for texts in (positives, negatives))  # fmt: skip
    _refuse_empty({POSITIVE: len(good), NEGATIVE: len(bad)}, {})
    limits = [float(np.quantile(bad, 1 - rate, method="higher")) for rate in FALSE_POSITIVE_RATES]
    return Evaluation(
        positives=len(good), negatives=len(bad), roc_auc=roc_auc(good, bad), at_half=_point(good, bad, 0.5),
        points=tuple(_point(good, bad, limit) for limit in limits),
    )  # fmt: skip


def roc_auc(good: Scores, bad: Scores) -> float:
    """Area under the ROC curve: the chance that one of `good`, shape (n,), is above one of `bad`, shape (m,).

    The Mann-Whitney statistic; ties count half.
    """
    ordered = np.sort(bad)
    below, up_to = np.searchsorted(ordered, good, "left"), np.searchsorted(ordered, good, "right")
    return float((below + up_to).sum() / (2 * len(good) * len(bad)))


def _point(good: Scores, bad: Scores, limit: float) -> Point:
    kept_good, kept_bad = int((good >= limit).sum()), int((bad >= limit).sum())
    return Point(
        min_score=limit,
        precision=kept_good / max(kept_good + kept_bad, 1),
        recall=kept_good / len(good),
        false_positive_rate=kept_bad / len(bad),
    )


def _distinct(texts: Iterable[str]) -> tuple[dict[bytes, str], int]:
    """The different texts, each as one line, by digest; and how many came again."""
    found: dict[bytes, str] = {}
    repeated = 0
    for text in texts:
        line = fasttext_models.one_line(text)
        digest = hashlib.blake2b(line.encode(), digest_size=16).digest()
        repeated += digest in found
        if line:
            found[digest] = line
    return found, repeated


def _place(seed: int, digest: bytes) -> bytes:
    """Decides the side of a text in the split, and its place in the order of training."""
    return hashlib.blake2b(digest, digest_size=16, key=seed.to_bytes(16, "big", signed=True)).digest()


def _refuse_empty(numbers: dict[str, int], held: dict[str, list[str]]) -> None:
    for label, number in numbers.items():
        if not number:
            raise InputError(f"--{label}", "holds no text", hint="give jsonl, parquet or text files with texts")
    for label, texts in held.items():
        if not texts:
            hint = "give more texts, or --held-out 0"
            raise InputError(f"--{label}", f"{numbers[label]} texts are too few to hold any out", hint=hint)


def _fit(examples: Sequence[tuple[bytes, str, str]], recipe: Recipe, path: Path) -> None:
    """Train on lines in the order given and write the model."""
    options = {
        "wordNgrams": recipe.word_ngrams, "dim": recipe.dimensions, "epoch": recipe.epochs,
        "lr": recipe.learning_rate, "minCount": recipe.min_count, "bucket": recipe.buckets,
        "seed": recipe.seed % (1 << 30) + 1,  # fastText's generator takes 0 for 1
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as lines:
        # A text must not be able to give itself a label.
        lines.writelines(f"__label__{label} {line.replace('__label__', '__label_')}\n" for _, label, line in examples)
        lines.flush()
        fit(Path(lines.name), path, options)
