"""Repair text that was decoded wrongly, and make its invisible characters uniform."""

import functools
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop

_LINE_BREAKS = dict.fromkeys(map(ord, "\r\v\f\x85\u2028\u2029"), "\n")
_CONTROLS = dict.fromkeys(
    (
        *(code for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc" and chr(code) not in "\t\n\r"),
        0x00AD,  # soft hyphen: where a word may be broken
        *range(0x206A, 0x2070),  # deprecated by Unicode
        0xFEFF,  # byte order mark
        *range(0xFFF9, 0xFFFC),  # interlinear annotation
        0xFFFE,
        0xFFFF,
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextRepair:
    """Rules that change how a text is coded, and nothing that a reader sees.

    Quotes, ligatures, character widths and HTML entities stay as they are: a model should meet them. So do joiners,
    zero-width spaces and directional marks, which Persian, Indic scripts, Thai, Arabic and emoji need. Not part of
    FineWeb's recipe; FineWeb2 repairs mojibake (with ftfy: Speer 2019, doi:10.5281/zenodo.2591652). Drops: `no_text`,
    when nothing is left.
    """

    mojibake: bool = True
    """Undo UTF-8 that was read as a one-byte encoding (schÃ¶n, itâ€™s) where ftfy is sure of it."""
    line_breaks: bool = True
    """Write every line break (CR LF, CR, vertical tab, form feed, NEL, line and paragraph separator) as LF."""
    control_characters: bool = True
    """Remove control characters but tab and line breaks, terminal escapes, byte order marks, soft hyphens,
    noncharacters, annotation marks and the format characters Unicode deprecates."""
    normalization: Literal["NFC", "NFKC"] | None = "NFC"
    """Unicode form. NFC only joins a letter and its accents; NFKC also replaces ligatures, widths and superscripts."""

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, doc: Document) -> Document | Drop:
        text = _fixed(doc.text, _settings(self.mojibake, self.control_characters))
        if self.line_breaks:
            text = text.replace("\r\n", "\n").translate(_LINE_BREAKS)
        if self.control_characters:
            text = text.translate(_CONTROLS)
        if self.normalization is not None:
            text = unicodedata.normalize(self.normalization, text)
        if not text.strip():
            return Drop("no_text", value=0, limit=1)
        return doc if text == doc.text else doc.replace(text=text)


def _fixed(text: str, settings: Any) -> str:
    """Mojibake and terminal escapes, and in any case lone surrogates, which no file can hold, as U+FFFD."""
    import ftfy

    fixed: str = ftfy.fix_text(text, settings)
    return fixed


@functools.cache
def _settings(mojibake: bool, terminal_escapes: bool) -> Any:
    import ftfy

    return ftfy.TextFixerConfig(
        explain=False,
        unescape_html=False,
        remove_terminal_escapes=terminal_escapes,
        fix_encoding=mojibake,
        fix_c1_controls=mojibake,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=True,
        remove_control_chars=False,
        normalization=None,
    )
