"""fastText language models, loaded once in a process and asked about a sample of the text.

Joulin et al. 2016, arXiv:1607.01759 and 1612.03651. A model's answer does not change with more text than a few
thousand characters, its cost does: `sample` takes pieces from all over it. Quantized models answer through
`quantized_fasttext.py`, others through the library.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.contract.errors import InputError, nearest
from pipeline.stages.support import quantized_fasttext
from pipeline.stages.support.quantized_fasttext import Quantized
from pipeline.storage.assets import ASSETS, asset_path

PIECES = 6
"""A long text is sampled in this many pieces at equal distances, the first and the last characters included."""
_LABEL = "__label__"


def identify(text: str, *, model: str, max_chars: int | None) -> tuple[str, float]:
    """The language of `text` and the model's confidence, 0 to 1; ("", 0.0) where there is no text.

    Args:
        model: the name of an asset, or the path of a fastText model file.
        max_chars: characters of the text that are looked at; None: all.

    Raises:
        MissingAssetError: the asset is not there.
        InputError: `model` is neither an asset nor a readable model.
    """
    text = " ".join(text.split()) if max_chars is None else sample(text, max_chars)
    if not text:
        return "", 0.0
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be passed on
    quantized = _quantized_model(model)
    answer = quantized.answer(text) if quantized else None
    if answer:
        return answer[0], min(answer[1], 1.0)
    labels, scores = _load(model).predict(text)
    if not labels:
        return "", 0.0
    return labels[0].removeprefix(_LABEL), min(float(scores[0]), 1.0)


def probability(text: str, label: str, *, model: str) -> float:
    """How sure the model is of `label` for the whole `text`, 0 to 1; 0 where there is no text.

    Raises:
        MissingAssetError, InputError: as `identify`; InputError also for a label that the model does not know.
    """
    check_label(label, model, model)
    line = one_line(text)
    if not line:
        return 0.0
    labels, scores = _load(model).predict(line, k=-1)
    found = dict(zip(labels, scores, strict=True)).get(_LABEL + label, 0.0)  # what rounds to nothing is left out
    return min(max(float(found), 0.0), 1.0)


def one_line(text: str) -> str:
    """The text as fastText reads it in training and prediction: one line, white space folded, encodable."""
    return " ".join(text.split()).encode("utf-8", "replace").decode("utf-8")


def check_label(label: str, model: str, place: str) -> None:
    """Raises an InputError if the model does not know `label`."""
    known = _languages(model)
    if label not in known:
        problem = f"the model {model} knows no label '{label}'"
        raise InputError(place, problem, known=sorted(known)[:20], hint=nearest(label, known))


def sample(text: str, max_chars: int) -> str:
    """About `max_chars` characters from all over `text`, on one line, white space folded."""
    if len(text) <= max_chars:
        return " ".join(text.split())
    width = max(max_chars // PIECES, 1)
    starts = [at * (len(text) - width) // (PIECES - 1) for at in range(PIECES)]
    return " ".join(" ".join(text[start : start + width].split()) for start in starts)


def check_limits(keep: tuple[str, ...] | None, min_score: float, max_chars: int | None) -> None:
    """The settings that both language stages share.

    Raises:
        ValueError: one of them is impossible.
    """
    if keep is not None and not keep:
        raise ValueError("keep: names no language; null keeps any")
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score: must be between 0 and 1, got {min_score}")
    if max_chars is not None and max_chars < 1:
        raise ValueError(f"max_chars: must be at least 1, got {max_chars}")


def check_languages(languages: Iterable[str], model: str, place: str) -> None:
    """Raises an InputError naming the first of `languages` that the model does not know."""
    known = _languages(model)
    for language in languages:
        if language not in known:
            hint = nearest(language, known) or "use the codes of the model: ISO 639-1 where there is one, such as 'en'"
            raise InputError(place, f"the model {model} knows no language '{language}'", known=sorted(known), hint=hint)


@functools.cache
def _languages(model: str) -> frozenset[str]:
    quantized = _quantized_model(model)
    if quantized:
        return frozenset(quantized.labels)
    return frozenset(label.removeprefix(_LABEL) for label in _load(model).get_labels())


@functools.cache
def _quantized_model(model: str) -> Quantized | None:
    """The model, if it is of the kind that needs no library."""
    return quantized_fasttext.load(_path(model))


def _path(model: str) -> Path:
    path = asset_path(model) if model in ASSETS else Path(model)
    if not path.is_file():
        raise InputError(model, "neither an asset nor a file", known=ASSETS, hint=nearest(model, ASSETS))
    return path


@functools.cache
def _load(model: str) -> Any:
    path = _path(model)
    from fasttext import FastText

    try:
        # The class, because load_model() writes a notice about its return type to stderr.
        return FastText._FastText(str(path))
    except (ValueError, RuntimeError) as error:
        raise InputError(model, f"not a fastText model: {error}") from error
