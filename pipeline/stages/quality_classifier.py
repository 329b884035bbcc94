"""Keep pages that a fastText classifier finds good."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop
from pipeline.stages.support import fasttext_models
from pipeline.stages.support.limits import Languages, Rule, check_languages, decide, first_broken


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityClassifier:
    """Score a text with a fastText model, as `tokenmill classifier train` makes them, and drop low scores.

    DCLM keeps the tenth of its pool that scores highest (Li et al. 2024, arXiv:2406.11794, section 4.4): a score means
    little by itself, so choose the limit by the share of your own documents that it keeps (`tokenmill sweep`).
    """

    model: str
    """Path of a fastText model; or the name of an asset."""
    label: str = "positive"
    """The score is the probability of this label."""
    min_score: float | None = 0.5
    """Inclusive; null only stores the score."""
    languages: Languages = dataclasses.field(default_factory=dict)
    """Other limits for single languages, such as {zh: {min_score: 0.3}}; null turns a rule off there."""

    RULES: ClassVar[tuple[Rule, ...]] = (Rule("score", "at least", "min_score", "low_score"),)
    SIGNALS: ClassVar[tuple[str, ...]] = ("score",)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: must be between 0 and 1, got {self.min_score}")
        if not self.model:
            raise ValueError("model: must be the path of a fastText model, got ''")
        check_languages(self)

    def prepare(self) -> None:
        """Load the model, so that a missing one or an unknown label is said before the run starts."""
        fasttext_models.check_label(self.label, self.model, "quality_classifier.label")

    def measure(self, doc: Document) -> Document:
        """The document with its score, 0 to 1; 0 where there is no text."""
        score = fasttext_models.probability(doc.text, self.label, model=self.model)
        return doc.with_signals("quality_classifier", {"score": score})

    def judge(self, values: Mapping[str, float], language: str = "") -> Drop | None:
        """`low_score`, or None."""
        return first_broken(self, self.RULES, values, language)

    def __call__(self, doc: Document) -> Document | Drop:
        return decide(self, doc)
