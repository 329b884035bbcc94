"""Identify the language of the text, and keep the languages asked for."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop
from pipeline.stages.support import fasttext_models


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageId:
    """fastText's lid.176 on the extracted text; language and score are stored with the document.

    FineWeb keeps English at 0.65 (Penedo et al. 2024, arXiv:2406.17557). Drops: `language_not_kept`, `low_score`; the
    detail is the language found. With the default model, expect Bosnian as Croatian or Serbian, both kinds of
    Norwegian as `no`, Danish and Afrikaans at times as Norwegian and Dutch, and short lines of languages outside its
    176 (Zulu, Hausa, Igbo ...) as anything: `tests/benchmarks/languages.py` prints the accuracy of each.
    """

    keep: tuple[str, ...] | None = ("en",)
    """Languages to keep, as the model names them (ISO 639-1 where there is a code); null keeps any."""
    min_score: float = 0.65
    """Least confidence of the model, inclusive."""
    min_scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Other limits for single languages, such as {sw: 0.5}."""
    max_chars: int | None = 3000
    """Characters of the text that the model sees, from all over it; null: all, as FineWeb, at twice the cost. On 1,013
    real pages 3,000 gave the same language and verdict on all but one."""
    model: str = "lid.176.ftz"
    """An asset, or the path of a fastText model."""

    def __post_init__(self) -> None:
        check_fields(self)
        fasttext_models.check_limits(self.keep, self.min_score, self.max_chars)
        for language, score in self.min_scores.items():
            if not 0 <= score <= 1:
                raise ValueError(f"min_scores: must be between 0 and 1, got {score} for '{language}'")
            if self.keep is not None and language not in self.keep:
                raise ValueError(f"min_scores: '{language}' is not among the languages to keep")

    def prepare(self) -> None:
        """Load the model, so that a missing one or an unknown language is said before the run starts."""
        fasttext_models.check_languages(self.keep or (), self.model, "language_id.keep")
        fasttext_models.check_languages(self.min_scores, self.model, "language_id.min_scores")

    def __call__(self, doc: Document) -> Document | Drop:
        fasttext_models.check_languages(self.keep or (), self.model, "language_id.keep")
        fasttext_models.check_languages(self.min_scores, self.model, "language_id.min_scores")
        language, score = fasttext_models.identify(doc.text, model=self.model, max_chars=self.max_chars)
        return self.verdict(language, score) or doc.replace(language=language, language_score=score)

    def verdict(self, language: str, score: float) -> Drop | None:
        """Why a text of which the model said so leaves."""
        if self.keep is not None and language and language not in self.keep:
            return Drop("language_not_kept", value=score, detail=language)
        limit = self.min_scores.get(language, self.min_score)
        return Drop("low_score", value=score, limit=limit, detail=language) if score < limit else None
