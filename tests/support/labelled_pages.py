"""Pages whose main text is known, made up."""

import numpy as np

WORDS = "mill river grain wheel village stone water bread field barn harvest market road bridge church".split()


def text(chance: np.random.Generator, words: int) -> str:
    return " ".join(chance.choice(WORDS, words)).capitalize() + "."


def labelled_page(number: int) -> dict[str, object]:
    """Paragraphs in a div of class `prose` are main text, as long ones in one of class `promo` are not."""
    chance = np.random.default_rng(number)
    story = [text(chance, 30) for _ in range(4)]
    promo = [text(chance, 30) for _ in range(4)]
    page = "<html><body>{}<div class=prose>{}</div></body>".format(
        "".join(f"<div class=promo><p>{line}</p></div>" for line in promo), "".join(f"<p>{line}" for line in story)
    )
    return {"id": str(number), "domain": f"site{number}.example", "page_type": "article" if number % 2 else "forum",
            "html": page.encode(), "main_content": "\n".join(story), "must_have": [story[0][:20]],
            "must_not_have": [promo[0][:40]]}  # fmt: skip
