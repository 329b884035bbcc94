"""What each character is to the words around it."""

import functools
import re
import unicodedata

import numpy as np
import numpy.typing as npt

# These numbers are compiled into pipeline/text/loops.py.
ALPHA, SYMBOL, PUNCTUATION, TERMINAL = 1, 2, 4, 8
"""Flags of a word: it has a letter; it is nothing but SYMBOLS; nothing but Unicode punctuation; it ends a sentence."""
SPACE, LETTER, LOWER, OPENS, CLOSES, DOT, DIGIT = 1, 2, 4, 8, 16, 32, 64
"""Class of a character: white space; letter; letter but no capital; sign that comes off the front, or the end, of a
chunk; full stop; 0 to 9."""
SEPARATOR, DROPPED, LOOKED_UP = 0, 1, 2
"""What the normalization does with a character that it does not map to another."""

TABLE = 0x3100
"""Code points in the tables: the alphabets and all white space. What holds others is looked up word by word."""

TERMINAL_PUNCTUATION = frozenset(
    ".?!\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b\u1362"
    "\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u17d6\u17d9\u17da\u1803\u1809\u1944\u1945\u1aa8\u1aa9\u1aaa\u1aab\u1b5a"
    "\u1b5b\u1b5e\u1b5f\u1b7d\u1b7e\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2e2e\u2e3c\u2e53\u2e54\u3002"
    "\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d\uaa5e\uaa5f\uaaf0\uaaf1\uabeb\ufe52"
    "\ufe56\ufe57\uff01\uff0e\uff1f\uff61\U00010a56\U00010a57\U00010f55\U00010f56\U00010f57\U00010f58\U00010f59"
    "\U00010f86\U00010f87\U00010f88\U00010f89\U00011047\U00011048\U000110be\U000110bf\U000110c0\U000110c1\U00011141"
    "\U00011142\U00011143\U000111c5\U000111c6\U000111cd\U000111de\U000111df\U00011238\U00011239\U0001123b\U0001123c"
    "\U000112a9\U0001144b\U0001144c\U000115c2\U000115c3\U000115c9\U000115ca\U000115cb\U000115cc\U000115cd\U000115ce"
    "\U000115cf\U000115d0\U000115d1\U000115d2\U000115d3\U000115d4\U000115d5\U000115d6\U000115d7\U00011641\U00011642"
    "\U0001173c\U0001173d\U0001173e\U00011944\U00011946\U00011a42\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42"
    "\U00011ef7\U00011ef8\U00011f43\U00011f44\U00016a6e\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44\U00016e98"
    "\U0001bc9f\U0001da88"
)
"""What ends a sentence in the scripts that have such a mark (Unicode's Sentence_Terminal, as FineWeb2 uses it)."""

SYMBOLS = TERMINAL_PUNCTUATION | frozenset(
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    + "".join(map(chr, (*range(9), *range(11, 32), *range(127, 160))))
)
"""Characters that make no word: FineWeb's list (datatrove 0.10.1, utils/text.py)."""

QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
MARKS = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
CURRENCY = "$£€¥฿₽﷼" + "".join(map(chr, range(0x20A0, 0x20C0)))
EMOJI = (
    "¦©®°҂↕-↙↜-↟↡↢↤↥↧-↭↯-⇍⇐⇑⇓⇕-⇳⌀-⌇⌌-⌟⌢-⌨⌫-⍻⍽-⎚⎴-⏛⏢-␦⑀-⑊⒜-ⓩ─-▶▸-◀◂-◷☀-♮♰-❧➔-➿⠀-⣿⬀-⬯⭅⭆⭍-⯿℀℁℃-℆℈℉℔№℗℞-℣℥℧℩℮"
    "⺀-⻳⼀-⿕〄〒〓〠〶〷㈀-㏿䷀-䷿￼�\U0001d000-\U0001d24f\U0001f000-\U0001faff"
)
"""Ranges of a regular expression: other symbols of Unicode, such as arrows, boxes and faces."""
_PLANES = (
    *range(0x3400),
    *range(0x4DC0, 0x4E00),
    *range(0xFE00, 0x10000),
    *range(0x1D000, 0x1D250),
    *range(0x1F000, 0x1FB00),
)
ENDS = frozenset(re.findall(f"[{re.escape(QUOTES + MARKS)}{EMOJI}—–]", "".join(map(chr, _PLANES))))
"""Signs that stand alone at either end of a chunk (after spaCy's lists)."""
STARTS = ENDS | frozenset("§%=" + CURRENCY)
"""Signs that stand alone at the beginning of a chunk."""


@functools.lru_cache(maxsize=1 << 14)
def flags_of(word: str) -> int:
    """ALPHA, SYMBOL, PUNCTUATION and TERMINAL of one word."""
    if word.isalpha():
        return ALPHA
    flags = ALPHA if any(map(str.isalpha, word)) else 0
    if all(char in SYMBOLS for char in word):
        flags |= SYMBOL
    if word in TERMINAL_PUNCTUATION:
        flags |= TERMINAL | PUNCTUATION
    elif all(unicodedata.category(char)[0] == "P" for char in word):
        flags |= PUNCTUATION
    return flags


@functools.cache
def classes() -> npt.NDArray[np.uint8]:
    """The class of each code point, shape (TABLE,)."""
    return np.array([_class_of(chr(point)) for point in range(TABLE)], np.uint8)


def _class_of(char: str) -> int:
    found = SPACE * char.isspace() | OPENS * (char in STARTS) | CLOSES * (char in ENDS) | DOT * (char == ".")
    found |= DIGIT * (char.isascii() and char.isdigit())
    return found | (LETTER | LOWER * (not char.isupper())) * char.isalpha()


@functools.cache
def sign_flags() -> npt.NDArray[np.uint8]:
    """The flags of each code point as a word of its own, shape (TABLE,)."""
    return np.array([flags_of(chr(point)) for point in range(TABLE)], np.uint8)


_NUMBER = re.compile(r"\d+(?:[.,،٫⎖⎗⎘]\d+)?")
_SYMBOLS_TO_SPACES = dict.fromkeys(map(ord, SYMBOLS), " ")


def normalized(chunk: str) -> list[str]:
    """The words of a chunk after FineWeb's normalization: lower case, numbers as 0, no symbols, no diacritics."""
    plain = _NUMBER.sub("0", chunk.lower()).translate(_SYMBOLS_TO_SPACES)
    if not plain.isascii():
        plain = "".join(char for char in unicodedata.normalize("NFD", plain) if unicodedata.category(char) != "Mn")
    return plain.split()


@functools.cache
def normal_points() -> npt.NDArray[np.uint32]:
    """What each code point becomes in `normalized`, or SEPARATOR, DROPPED, LOOKED_UP; shape (TABLE,)."""
    return np.array([_normal_point(chr(point)) for point in range(TABLE)], np.uint32)


def _normal_point(char: str) -> int:
    if char in SYMBOLS or char.isspace():
        return SEPARATOR
    if char in "0123456789":
        return ord("0")
    if char in "Σ،٫⎖⎗⎘" or char.isdecimal():  # what becomes of it depends on its neighbours
        return LOOKED_UP
    becomes = [c for c in unicodedata.normalize("NFD", char.lower()) if unicodedata.category(c) != "Mn"]
    if not becomes:
        return DROPPED
    return (
        ord(becomes[0]) if len(becomes) == 1 and becomes[0] not in SYMBOLS and not becomes[0].isspace() else LOOKED_UP
    )
