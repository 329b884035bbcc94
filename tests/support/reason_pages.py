"""For every reason to drop a page, a page made for it: `step.stage.reason` -> pages.

The pages for quality rules break FineWeb's limits as they stand, and no rule that is looked at before the one they are
made for.
"""

import random
from collections.abc import Iterable, Sequence

from warc_pages import Page, article, prose

Pages = dict[str, list[Page]]
KEPT = "kept"

GERMAN = """Der alte Hafen liegt am Rand der kleinen Stadt, und jeden Morgen fahren die Fischer mit ihren Booten hinaus
auf das Meer. Wenn sie am Nachmittag zurückkommen, warten ihre Kinder schon auf der langen Mauer und zählen die Kisten.
Im Winter bleibt es dort still, weil die Stürme zu stark sind und niemand freiwillig an das Wasser geht."""
QUIZ = "which of the two ferries leaves the northern pier first on a sunday morning in the month of november"
_LETTERS = "abcdefghijklmnoprstuvw"


def page(name: str, *paragraphs: str) -> Page:
    """A page whose extracted text is the paragraphs, set apart by blank lines."""
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return Page(url=f"https://pages.example/{name}", html=f"<html><body><main>{body}</main></body></html>")


def sentences(seed: int, number: int) -> list[str]:
    """English-looking sentences without their HTML."""
    return prose(seed, number).removeprefix("<p>").removesuffix("</p>").split("</p><p>")


def words(seed: int, number: int, length: int) -> list[str]:
    """Different invented words of so many letters."""
    draw, found = random.Random(seed), dict[str, None]()
    while len(found) < number:
        found["".join(draw.choice(_LETTERS) for _ in range(length))] = None
    return list(found)


def lines(parts: Iterable[str]) -> str:
    """The parts as the lines of one paragraph."""
    return "<br>".join(parts)


# ---- step 1: records, addresses, languages, extraction

EXTRACT = """
screen: {max_bytes: 60_000}
extract:
  - url_filter:
      shipped_lists: false
      domains: [LISTS/domains.txt]
      urls: [LISTS/urls.txt]
      banned_words: [LISTS/banned_words.txt]
      soft_banned_words: [LISTS/soft_banned_words.txt]
      banned_subwords: [LISTS/banned_subwords.txt]
  - payload_digest: {}
  - language_prefilter: {}
  - main_text: {engine: resiliparse, max_chars: 50_000}
  - text_repair: {}
  - language_id: {}
tokenize: {train_tokenizer: {vocabulary_size: 300}}
"""
LISTS = {
    "domains.txt": "lottery.example\n",
    "urls.txt": "https://mixed.example/bets\n",
    "banned_words.txt": "roulette\n",
    "soft_banned_words.txt": "jackpot\nbonus\n",
    "banned_subwords.txt": "freespins\n",
}


def extract_pages() -> Pages:
    """Articles but for the one thing that is wrong with each."""
    good = article(1)
    return {
        KEPT: [Page(url="https://a.example/good", html=good), Page(url="https://a.example/one-bonus", html=article(2))],
        "extract.screen.http_status": [
            Page(url="https://a.example/gone", html=good, status="404 Not Found"),
            Page(url="https://a.example/moved", html=good, status="301 Moved Permanently"),
        ],
        "extract.screen.content_type": [
            Page(url="https://a.example/said", html=good, content_type="application/pdf"),
            Page(url="https://a.example/seen", html=b"\x89PNG\r\n\x1a\n" + bytes(99), content_type="text/html"),
        ],
        "extract.screen.too_large": [Page(url="https://a.example/large", html=good.ljust(60_001))],
        "extract.screen.empty_body": [Page(url="https://a.example/empty"), Page(url="https://a.example/b", html=" \n")],
        "extract.screen.undecodable": [Page(url="https://a.example/noise", html=b"<html>" + bytes(range(1, 9)) * 99)],
        "extract.url_filter.domain": [Page(url="https://www.lottery.example/", html=good)],
        "extract.url_filter.url": [Page(url="http://www.mixed.example/bets/today?x=1", html=good)],
        "extract.url_filter.banned_word": [Page(url="https://a.example/play-roulette", html=good)],
        "extract.url_filter.soft_banned_words": [Page(url="https://a.example/jackpot/bonus", html=good)],
        "extract.url_filter.banned_subword": [Page(url="https://a.example/myfree-spins", html=good)],
        "extract.payload_digest.copy": [Page(url="https://a.example/again", html=good, date="2024-01-02T00:00:00Z")],
        "extract.language_prefilter.language_not_kept": [page("german", GERMAN)],
        "extract.main_text.too_large": [Page(url="https://a.example/long", html=good.ljust(50_001))],
        "extract.main_text.empty_page": [Page(url="https://a.example/mark", html=b"\xef\xbb\xbf")],
        "extract.main_text.no_text": [Page(url="https://a.example/app", html="<script>start()</script>")],
        "extract.text_repair.no_text": [page("invisible", "&#xAD;&#xFEFF;&#xAD;")],
        "extract.language_id.language_not_kept": [german_in_an_english_frame()],
        "extract.language_id.low_score": [page("names", "Lima Oslo Quito Accra Hanoi Paris London the Bergen Malmo")],
    }


def german_in_an_english_frame() -> Page:
    """The prefilter, which sees the whole page, takes it for English."""
    menu = "".join(f"<li><a href='/{i}'>{sentence}</a></li>" for i, sentence in enumerate(sentences(5, 20)))
    html = f"<html><body><nav><ul>{menu}</ul></nav><main><article><p>{GERMAN}</p></article></main></body></html>"
    return Page(url="https://a.example/frame", html=html)


# ---- step 2: quality, with FineWeb's limits

FILTER = """
extract: [{main_text: {engine: resiliparse}}]
filter: [gopher_repetition, gopher_quality, c4, fineweb]
tokenize: {train_tokenizer: {vocabulary_size: 300}}
"""


def filter_pages() -> Pages:
    """One page for every limit of the four stages."""
    made = {**repetition_pages(), **quality_pages(), **c4_pages(), **fineweb_pages()}
    pages = {f"filter.{reason}": [page(reason, *paragraphs)] for reason, paragraphs in made.items()}
    return {KEPT: [Page(url="https://a.example/good", html=article(1))], **pages}


def repetition_pages() -> dict[str, Sequence[str]]:
    """Paragraphs by reason; see the names."""
    fresh, small = sentences(10, 12), ["Read on here."]
    long = " ".join(sentences(11, 6))
    return {
        "gopher_repetition.duplicate_paragraphs": fresh + 7 * small,
        "gopher_repetition.duplicate_paragraph_characters": [long, *fresh, long],
        "gopher_repetition.duplicate_lines": [lines(fresh + 7 * small)],
        "gopher_repetition.duplicate_line_characters": [lines([long, *fresh, long])],
        "gopher_repetition.top_2_gram": [between("village bridge", 3)],
        "gopher_repetition.top_3_gram": [between("village bridge kitchen", 11)],
        "gopher_repetition.top_4_gram": [between("village bridge kitchen orchard", 16)],
        **{f"gopher_repetition.duplicated_{n}_grams": [said_twice(*sizes)] for n, sizes in SAID_TWICE.items()},
    }


def between(run: str, gap: int) -> str:
    """The run of words again and again, `gap` words of six letters between."""
    other = words(gap, 12 * gap, 6)
    return " ".join(f"{run} {' '.join(other[gap * i : gap * (i + 1)])}" for i in range(12))


SAID_TWICE = {5: (200, 60), 6: (308, 54), 7: (165, 28), 8: (206, 32), 9: (317, 45), 10: (388, 50)}
"""For each n, words in all and words said twice. Runs of n words are counted whole, so 28 words said twice are four
runs of 7 with 14.6 % of the characters of 165 words (limit: 13 %), but five runs of 5 with 13.0 % (limit: 15 %)."""


def said_twice(number: int, run: int) -> str:
    """`number` words of six letters, the last `run` of which have stood there before."""
    text = words(run, number - run, 6)
    return " ".join([*text, *text[:run]])


def quality_pages() -> dict[str, Sequence[str]]:
    """Paragraphs by reason."""
    six, fresh = words(20, 60, 6), sentences(21, 12)
    return {
        "gopher_quality.too_few_words": [" ".join(sentences(22, 2))],
        "gopher_quality.too_many_words": sentences(23, 6000),
        "gopher_quality.words_too_short": [" ".join(words(24, 60, 2))],
        "gopher_quality.words_too_long": [" ".join(words(25, 60, 11))],
        "gopher_quality.too_many_hashes": [" ".join(f"#{word}" for word in six)],
        "gopher_quality.too_many_ellipses": [" ".join(f"{word}..." for word in six)],
        "gopher_quality.too_many_bullet_lines": [lines(f"- {sentence}" for sentence in fresh)],
        "gopher_quality.too_many_ellipsis_lines": [f"{sentence.rstrip('.')}..." for sentence in fresh],
        "gopher_quality.too_few_alphabetic_words": [" ".join([*six, *map(str, range(1000, 1030))])],
        "gopher_quality.too_few_stop_words": [" ".join(six)],
    }


def c4_pages() -> dict[str, Sequence[str]]:
    """Paragraphs by reason."""
    fresh = sentences(30, 12)
    return {
        "c4.lorem_ipsum": [*fresh, "Lorem ipsum dolor sit amet."],
        "c4.curly_bracket": [*fresh, "Then the program says if (ready) { start(); }"],
        "c4.too_few_sentences": [sentence.rstrip(".") + " and" for sentence in fresh[:4]],
    }


def fineweb_pages() -> dict[str, Sequence[str]]:
    """Paragraphs by reason."""
    fresh, twice = sentences(41, 12), "The same is said at the end."
    spoken = [
        "The way out.",
        "To be sure.",
        "And that is.",
        "It is so.",
        "They ran off.",
        "We have bread.",
        "Come with us.",
    ]
    return {
        "fineweb.too_few_punctuated_lines": [" ".join(fresh)[:-1], *[line.rstrip(".") for line in sentences(44, 12)]],
        "fineweb.too_many_short_lines": in_lines(10 * ["The", "And", "of", "with"], words(43, 160, 4), "."),
        "fineweb.duplicate_line_characters": [*fresh, twice, twice],
        "fineweb.too_many_newlines": [
            lines(
                [
                    *spoken,
                    *in_lines(words(45, 18, 10), words(46, 36, 10)),
                    *in_lines(words(47, 22, 6), words(48, 44, 6)),
                ]
            )
        ],
    }


def in_lines(first: Sequence[str], rest: Sequence[str], end: str = "") -> list[str]:
    """One line for each of `first`, with an equal share of the rest behind it."""
    share = len(rest) // len(first)
    return [f"{word} {' '.join(rest[share * i : share * (i + 1)])}{end}" for i, word in enumerate(first)]


# ---- filters in another order: what C4 leaves nothing of; and a filter of datatrove's

AFTER_C4 = """
extract: [{main_text: {engine: resiliparse}}]
filter:
  - c4: {min_sentences: null}
  - STAGE
  - datatrove: {class: datatrove.pipeline.filters.RegexFilter, args: {regex_exp: "thing one .* thing two"}}
tokenize: {train_tokenizer: {vocabulary_size: 300}}
"""


def after_c4_pages(stage: str) -> Pages:
    """C4 removes every line of the menu: none has three words."""
    return {
        KEPT: [Page(url="https://a.example/good", html=article(1))],
        f"filter.{stage}.empty": [page("menu", "Home", "About us", "Contact", "Imprint")],
        "filter.datatrove.RegexFilter.dropped": [
            page("things", "Here is thing one and there is thing two.", *sentences(45, 9))
        ],
    }


# ---- steps 3 and 4: duplicates and benchmarks

LATER = """
extract: [{main_text: {engine: resiliparse}}]
tokenize:
  stages: [{decontaminate: {benchmarks: [LISTS/quiz.jsonl]}}]
  train_tokenizer: {vocabulary_size: 300}
"""


def later_pages() -> Pages:
    """An article twice in other frames, twice but for a sentence, and one with a question of a benchmark."""
    text = sentences(50, 30)
    day, next_day = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"
    copies = [Page(url=f"https://copies.example/{date[:10]}", html=article(51), date=date) for date in (day, next_day)]
    old = page("edition", *text)
    new = page("revised", *text[:15], "A sentence was added to it later by another hand.", *text[15:])
    later = Page(url=new.url, html=new.html, date=next_day)
    alone = [
        Page(url=f"https://{host}.example/story", html=article(52 + i)) for i, host in enumerate(["site", "www.out"])
    ]
    return {
        KEPT: [copies[0], old, *alone],
        "dedup.exact.exact_duplicate": [copies[1]],
        "dedup.minhash.near_duplicate": [later],
        "tokenize.decontaminate.benchmark_overlap": [page("quiz", *sentences(60, 8), f"Tell us, {QUIZ}?")],
    }


# ---- between them: lines and runs of words that stand on several pages

REPEATED = """
extract: [{main_text: {engine: resiliparse}}]
dedup: null
line_dedup: {min_documents: 2, min_document_words: 20}
substring_dedup: {min_words: 20, min_document_words: 20}
tokenize: {train_tokenizer: {vocabulary_size: 300}}
"""


def repeated_pages() -> Pages:
    """Two pages of a site with the same notice, two of other sites with the same run of words, one of each short."""
    notice = "This notice stands below every page of the site, whatever it is about."
    run = " ".join(words(70, 24, 7))

    def dated(host: str, day: int, *paragraphs: str) -> Page:
        found = page("story", *paragraphs)
        url = found.url.replace("pages.example", host)
        return Page(url=url, html=found.html, date=f"2024-01-{day:02d}T00:00:00Z")

    return {
        KEPT: [dated("news.example", 1, notice), dated("one.example", 1, "The words are", f"And {run} again.")],
        "line_dedup.repeated_lines.too_few_words": [dated("blog.news.example", 2, notice, "Nothing else is here.")],
        "substring_dedup.repeated_spans.too_few_words": [dated("two.example", 2, f"They say {run} too.")],
    }
