"""The lazily computed features of one text, shared by every filter and by MinHash."""

from functools import cached_property


class TextFeatures:
    """Lines, paragraphs, words, n-gram hashes and character classes of one text, each computed at most once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not blank, stripped."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def words(self) -> list[str]:
        """The words, in order."""
        return self.text.split()
