"""Words of languages that are written without spaces between them: ICU's dictionary segmentation.

Chinese and Japanese, Thai, Lao, Khmer and Burmese (Unicode Standard Annex 29; the dictionaries are ICU's). It comes
with the package `icu4py`, which carries ICU in its wheel. A word, as everywhere, may be a punctuation mark.
"""

from collections.abc import Sequence

from pipeline.contract.errors import ConfigError

UNSPACED = frozenset({"zh", "wuu", "yue", "ja", "th", "lo", "km", "my"})
"""Language codes, as lid.176 gives them."""
_LOCALES = {"wuu": "zh", "yue": "zh"}


def split_unspaced(language: str, chunks: Sequence[str]) -> list[Sequence[str]]:
    """The words of each chunk (a run of characters without white space); joined they give the chunk again.

    Raises:
        ConfigError: the package `icu4py` is not installed.
    """
    try:
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        problem = f"words of the language '{language}' cannot be split: the package icu4py is not installed"
        raise ConfigError("word_split: fast", problem, hint="pip install 'tokenmill[pipeline]'") from error
    locale = _LOCALES.get(language, language)
    return [list(WordBreaker(_encodable(chunk), locale)) for chunk in chunks]


def _encodable(chunk: str) -> str:
    """ICU takes no lone surrogates; U+FFFD stands for them, so that no character is lost."""
    try:
        chunk.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in chunk)
    return chunk
