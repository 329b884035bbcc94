"""Where words begin and end inside a chunk: the fast splitter.

English and other spaced scripts, after the rules of spaCy's blank English tokenizer, which FineWeb's filters count
words with (via datatrove): brackets, quotes, currency and emoji come off both ends, `n't`, `'s` and units off the end,
hyphens and colons between letters stand alone, URLs and abbreviations stay whole. Written for speed: a few compiled
patterns, most chunks leave by the first lines. `tests/benchmarks/parity.py` measures how far the two agree.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from pipeline.text.characters import CURRENCY, EMOJI, ENDS, MARKS, QUOTES, STARTS

MAX_CHUNK = 500
"""Characters; taking one sign at a time off the ends is quadratic, so longer chunks are only cut in the middle."""

_CASED = [*range(0x590), *range(0x1C80, 0x2200), *range(0x2C60, 0x2D30), *range(0xA640, 0xA800)]
_LOWERS = re.escape("".join(char for char in map(chr, _CASED) if char.islower()))
_UPPERS = re.escape("".join(char for char in map(chr, _CASED) if char.isupper()))
_LETTER, _LOWER, _UPPER = r"[^\W\d_]", rf"[^\W\d_{_UPPERS}]", rf"[^\W\d_{_LOWERS}]"

_DOLLAR = re.compile(r"(?:US|[CA])\$")
_UNITS = (
    "[kdcm]?m[²³]?|ha|[µn]m|yd|in|ft|[kmµ]?g|t|lb|oz|m/s|km/h|kmh|mph|h?Pa|mbar|mb|MB|[kgt]b|[KGT]B|[TGMK%]"
    "|[кдсм]?м[²³]?|нм|к?г|мг|м/с|км/ч|к?Па|мбар|[КМГТ]б|[КМГТ]Б|[кмгт]б"
)
_UNIT = re.compile(rf"(?<=[0-9])(?:\+|(?:US|[CA])?\$|[{CURRENCY}]|{_UNITS})\Z")
_UNIT_ENDS = frozenset("+%²³/abdfghnmstzBGKMPTагмнсчбПБ" + CURRENCY)
_BEFORE_DOT = frozenset("0123456789%²-+|" + MARKS + QUOTES)
_BETWEEN = rf"(?:{_LETTER}|[0-9])"
# The sign comes first and what must stand before it second, so that the search can skip to the next sign.
_INFIX = (
    rf"[.…,+*^<>=/:~–—\-{EMOJI}](?:"
    rf"(?<=\.)\.+|(?<=[…{EMOJI}])|(?<=[0-9][+\-*^])(?=[0-9-])"
    rf"|(?:(?<={_LOWER}\.)|(?<=[{QUOTES}]\.))(?=(?:{_UPPER}|[{QUOTES}]))|(?<={_LETTER},)(?={_LETTER})"
    rf"|(?<={_BETWEEN}-)-{{0,2}}(?={_LETTER})|(?<={_BETWEEN}—)—?(?={_LETTER})|(?<={_BETWEEN}[–~:<>=/])(?={_LETTER}))"
)
_HOST = r"(?:[A-Za-z0-9\u00a1-\uffff](?:[\w\u00a1-\uffff-]{0,62}[A-Za-z0-9\u00a1-\uffff])?\.)+"
_IPV4 = r"[1-9]\d{0,2}(?:\.\d{1,3}){3}"
_URL = rf"(?:[\w+.-]{{2,}}://)?(?:\S+@)?(?:{_IPV4}|{_HOST}{_LOWER}{{2,63}})(?::\d{{2,5}})?(?:[/?#]\S*)?"


@functools.cache  # when first needed: with all those letters each takes 10 ms, and not every process splits words
def _pattern(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


@dataclasses.dataclass(frozen=True, slots=True)
class WordRules:
    """Splits the chunks of one language; the patterns are shared, the words looked up are its own."""

    exceptions: Mapping[str, tuple[str, ...]]
    """Chunks that are looked up, not cut: contractions, abbreviations, emoticons."""
    joined: frozenset[str]
    """Those that are one word, and that cutting takes apart when something sticks to them."""
    join_starts: frozenset[str]
    """The first parts of those."""

    @classmethod
    def from_exceptions(cls, exceptions: Mapping[str, tuple[str, ...]]) -> "WordRules":
        """The rules that look up `exceptions`."""
        joined = frozenset(chunk for chunk, parts in exceptions.items() if len(parts) == 1 and not chunk[1:].isalpha())
        starts = {chunk[0] for chunk in joined} | {chunk[:-1] for chunk in joined if chunk[-1] == "."}
        return cls(exceptions, joined, frozenset(starts))

    def split(self, chunks: Sequence[str]) -> list[Sequence[str]]:
        """The words of each chunk (a run of characters without white space)."""
        return [self._split_plain(chunk) or self.split_one(chunk) for chunk in chunks]

    def _split_plain(self, chunk: str) -> Sequence[str]:
        """The words of `word` and `word,` as the full rules would find them, () for any other chunk: most are these."""
        exceptions = self.exceptions
        if chunk in exceptions:
            return exceptions[chunk]
        if chunk.isalpha():
            return (chunk,)
        core, last = chunk[:-1], chunk[-1]
        if core.isalpha() and core not in exceptions and (last in ENDS or (last == "." and core[-1].islower())):
            return (core, last)
        return ()

    def split_one(self, chunk: str) -> Sequence[str]:
        """The words of one chunk; joined they give the chunk again."""
        if len(chunk) > MAX_CHUNK:
            return cut_inside(chunk)
        prefixes: list[str] = []
        suffixes: list[str] = []
        core = chunk
        while core and core not in self.exceptions:
            start = _prefix(core)
            rest = core[start:]
            cut = _suffix(rest) if rest and rest not in self.exceptions else 0
            if not (start or cut):
                break
            if start and not (cut and core[:-cut] in self.exceptions):
                prefixes.append(core[:start])
                core = rest
            if cut:
                suffixes.append(core[-cut:])
                core = core[:-cut]
        return self._join([*prefixes, *self._cut(core), *reversed(suffixes)])

    def _cut(self, core: str) -> Sequence[str]:
        """What is left between prefixes and suffixes."""
        if not core:
            return ()
        words = self.exceptions.get(core)
        if words is not None:
            return words
        if core.isalnum() or ("." in core and _pattern(_URL).fullmatch(core)):
            return (core,)
        return cut_inside(core)

    def _join(self, words: list[str]) -> list[str]:
        """Put together again what is one word but came apart: `f():` ends in the emoticon `):`, as in spaCy."""
        if self.join_starts.isdisjoint(words):
            return words
        joined: list[str] = []
        at = 0
        while at < len(words):
            size = self._joins(words, at) if words[at] in self.join_starts else 1
            joined.append("".join(words[at : at + size]))
            at += size
        return joined

    def _joins(self, words: list[str], at: int) -> int:
        """How many parts from `at` on make one word."""
        for size in range(min(4, len(words) - at), 1, -1):
            if "".join(words[at : at + size]) in self.joined:
                return size
        return 1


def _prefix(core: str) -> int:
    """Characters that come off the front of a chunk as one word."""
    first = core[0]
    if first.isalnum():
        dollar = _DOLLAR.match(core) if first in "UCA" else None
        return dollar.end() if dollar else 0
    if first == ".":
        dots = len(core) - len(core.lstrip("."))
        return dots if dots > 1 else 0
    if first == "+":
        return 0 if core[1:2].isdecimal() else 1
    return 1 if first in STARTS else 0


def _suffix(core: str) -> int:
    """Characters that come off the end of a chunk as one word."""
    last, before = core[-1], core[-2:-1]
    if last == ".":
        return _final_dot(core, before)
    if last in "sS" and before and before in "'’":
        return 2
    if last in _UNIT_ENDS:
        unit = None if core.isalpha() else _UNIT.search(core)
        return len(unit.group()) if unit else 0
    if last not in ENDS:
        return 0
    return 2 if core.endswith("……") else 1


def _final_dot(core: str, before: str) -> int:
    """A full stop stays with a single capital (`U.S.`), and goes after anything else."""
    if before == ".":
        return len(core) - len(core.rstrip("."))
    if before in _BEFORE_DOT:
        return 1
    return 1 if before.isalpha() and (not before.isupper() or core[-3:-2].isupper() or core[-3:-2] == "°") else 0


def cut_inside(core: str) -> list[str]:
    """Words and the signs between them, in linear time."""
    words: list[str] = []
    start = 0
    for infix in _pattern(_INFIX).finditer(core):
        if infix.start() == 0:
            continue
        if start < infix.start():
            words.append(core[start : infix.start()])
        words.append(infix.group())
        start = infix.end()
    if start < len(core):
        words.append(core[start:])
    return words


def _contractions() -> Iterator[tuple[str, str]]:
    """Stem and ending of the contractions that are two words or more."""
    will_would = ["'ll", "'ll've", "'d", "'d've"]
    asking = ["who", "what", "when", "where", "why", "how", "there"]
    yield from itertools.product(["i", "you", "he", "she", "it", "we", "they", "that", "this", *asking], will_would)
    yield from itertools.product(["these", "those"], [*will_would, "'re", "'ve"])
    yield from itertools.product(["i", "you", "we", "they", *asking, "could", "might", "must", "should"], ["'ve"])
    yield from itertools.product(["you", "we", "they", *asking], ["'re"])
    yield from itertools.product(["he", "she", "it", "that", "this", *asking], ["'s"])
    modals = "ca could do does did had may might must need ought sha should wo would"
    yield from itertools.product(modals.split(), ["n't", "n't've"])
    yield from itertools.product(["ai", "are", "is", "was", "were", "have", "has", "dare"], ["n't"])
    yield from (("i", "'m"), ("i", "'m'a"), ("would", "'ve"), ("can", "not"), ("gon", "na"), ("got", "ta"))
    yield ("not", "'ve")


def _faces() -> Iterator[str]:
    """Emoticons that are one word."""
    sides = {":": ") )) ))) ( (( ((( ] [ / | 1 P p O o 0 * 3 > X x D", ";": ") D", "8": ") D"}
    for eyes, mouths in sides.items():
        yield from (eyes + nose + mouth for nose in ("", "-") for mouth in mouths.split())
    yield from _MORE_FACES.split()


_MORE_FACES = (
    "(: (-: ): )-: [: [-: (; (-; (-8 =) (= =( =/ =| ]= =[ [= =3 =D :() >:( >:o :') :'( :'-) :'-( <3 <33 <333 </3 "
    "xD XD xDD XDD ^_^ -_- o_o O_o o_O O_O 0_0 ;_; ._. >.< >.> <.< v_v @_@ o.o O.o"
)
_ABBREVIATIONS = (
    "Mr. Mrs. Ms. Messrs. Dr. Prof. Rev. Gen. Gov. Sen. Rep. Adm. Jr. St. Mt. Bros. Co. co. Corp. Inc. Ltd. vs. v.s. "
    "e.g. E.g. E.G. i.e. I.e. I.E. a.m. p.m. Ph.D. D.C. N.C. N.D. N.H. N.J. N.M. N.Y. S.C. Md. Mo. Mont. Ak. Ala. "
    "Ariz. Ark. Calif. Colo. Conn. Del. Fla. Ga. Ia. Id. Ill. Ind. Kan. Kans. Ky. La. Mass. Mich. Minn. Miss. Neb. "
    "Nebr. Nev. Okla. Ore. Pa. Tenn. Va. Wash. Wis. Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. "
    "'s 'S ‘s ‘S 're 'd 'll 'em 'nuff 'cause 'Cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock "
    "doin' goin' havin' lovin' nothin' nuthin' ol' somethin' Doin' Goin' Havin' Lovin' Nothin' Ol' Somethin' "
    "and/or w/o"
)
_NO_CONTRACTION = ["ill", "its", "hell", "shell", "shed", "were", "well", "whore"]


def _english() -> dict[str, tuple[str, ...]]:
    """Contractions, times and abbreviations of English."""
    exceptions: dict[str, tuple[str, ...]] = {}
    for stem, ending in _contractions():
        parts = tuple(re.findall(r"n't|'?[a-z]+", ending))
        for first in (stem, stem.title()):
            exceptions[first + ending] = (first, *parts)
            exceptions[(first + ending).replace("'", "")] = (first, *(part.replace("'", "") for part in parts))
    for word in _NO_CONTRACTION:
        exceptions.pop(word, None)
        exceptions.pop(word.title(), None)
    exceptions |= {f"{hour}{half}": (str(hour), half) for hour in range(1, 13) for half in ("am", "pm", "a.m.", "p.m.")}
    exceptions |= {word: (word,) for word in _ABBREVIATIONS.split()}
    exceptions |= {"let's": ("let", "'s"), "Let's": ("Let", "'s"), "y'all": ("y'", "all"), "yall": ("y", "all")}
    exceptions |= {"c'mon": ("c'm", "on"), "C'mon": ("C'm", "on")}
    curly = {chunk: parts for chunk, parts in exceptions.items() if "'" in chunk}
    return exceptions | {
        c.replace("'", "’"): tuple(part.replace("'", "’") for part in parts) for c, parts in curly.items()
    }


_INITIALS = (f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyzäöü")
_EVERYWHERE = {word: (word,) for word in (*_INITIALS, *_faces(), "C++", "''", "’’")}
SPACED = WordRules.from_exceptions(_EVERYWHERE)
"""Any language that puts spaces between words."""
ENGLISH = WordRules.from_exceptions(_EVERYWHERE | _english())
