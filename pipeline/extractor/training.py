"""Train an extractor: token scores and trees from labelled pages; the same pages give the same model, byte for byte.

Block classification by boosted trees: Kohlschütter et al. 2010 for the idea, LightGBM (Ke et al. 2017) for the trees.
The scores of tokens are log-odds; those that a page is trained with come from pages of other domains, so that the trees
learn what a score is worth on pages that nobody has seen.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import pipeline
from pipeline.contract.errors import ConfigError
from pipeline.extractor import features, labels
from pipeline.extractor.labelled import LabelledPage
from pipeline.extractor.layout import BL_WORDS, EL_END, EL_FIRST, EL_TOKEN, EL_TOKEN_END
from pipeline.extractor.loops_decide import ONE
from pipeline.extractor.model import Model, logistic_link
from pipeline.extractor.parsed_page import ParsedPage, parse
from pipeline.text.machine_code import I32

FOLDS: Final = 5
"""Parts, by domain, whose token scores come from the other parts."""
MIN_ORACLE: Final = 0.5
"""A page of whose gold text no choice of blocks holds this share is left out: its text is not in its HTML."""
MAX_BLOCK_WORDS: Final = 400
"""A block weighs as its words, up to this many."""
PHRASE_WEIGHT: Final = 0.3
"""Weight of a block with a phrase that someone chose, beside that of its words."""
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How to train; chosen on WCXB's development split, five folds by domain."""

    trees: int = 100
    leaves: int = 31
    """Of a tree."""
    learning_rate: float = 0.1
    min_leaf: int = 60
    """Blocks in a leaf."""
    token_pages: int = 2
    """Tokens on fewer pages score 0."""
    token_prior: float = 5.0
    """Pages that a token is taken to have been seen on before any, with the average share of main text."""
    lowest: float = 0.2
    """Of the thresholds of a page."""
    highest: float = 0.5
    seed: int = 1
    threads: int = 0
    """Of LightGBM; 0: as many as there are cores. They do not change the model."""

    def __post_init__(self) -> None:
        for name in ("trees", "leaves", "min_leaf", "token_pages"):
            if getattr(self, name) < 1 + (name == "leaves"):
                raise ValueError(f"{name}: must be at least {1 + (name == 'leaves')}, got {getattr(self, name)}")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate: must be above 0 and at most 1, got {self.learning_rate}")
        if not 0 <= self.lowest <= self.highest <= 1:
            raise ValueError(f"lowest, highest: must be 0 <= lowest <= highest <= 1, got {self.lowest}, {self.highest}")


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A labelled page, parsed."""

    page: ParsedPage
    domain: str
    shares: Floats
    """Of each block what share is main text; labels.UNKNOWN where nobody knows."""
    token_counts: tuple[I32, Floats, Floats]
    """Tokens on the page; of each, weights of main text and of all text in its elements."""
    emphasis: Floats
    """Added to the weight of each block, in shares of the page: for those with a phrase that someone chose."""


def prepare(pages: Iterable[LabelledPage]) -> list[Example]:
    """Parse and label pages, but for those whose gold text is not in their HTML, or of which nothing is known."""
    examples = []
    for page in pages:
        parsed = parse(page.html)
        emphasis = np.zeros(len(parsed.blocks))
        if page.gold is not None:
            shares = labels.from_gold(parsed, page.gold)
            if not _usable(parsed, shares, page.gold):
                continue
        else:
            chosen = labels.from_phrases(parsed, page.wanted, page.unwanted)
            emphasis[chosen != labels.UNKNOWN] = PHRASE_WEIGHT
            shares = np.where(chosen == labels.UNKNOWN, labels.from_agreement(parsed, page.silver), chosen)
            if (shares == labels.UNKNOWN).all():
                continue
        examples.append(Example(parsed, page.domain, shares, _count_tokens(parsed, shares), emphasis))
    return examples


def _usable(page: ParsedPage, shares: Floats, gold: str) -> bool:
    found = float((page.blocks[:, BL_WORDS] * shares).sum())
    return found >= MIN_ORACLE * max(len(labels.words(gold)), 1)


def _count_tokens(page: ParsedPage, shares: Floats) -> tuple[I32, Floats, Floats]:
    known = shares >= 0
    n = page.blocks[:, BL_WORDS] * known
    words = np.concatenate([[0.0], np.cumsum(n)])
    main = np.concatenate([[0.0], np.cumsum(n * np.maximum(shares, 0))])
    elements = page.elements
    in_words = words[elements[:, EL_END]] - words[elements[:, EL_FIRST]]
    in_main = main[elements[:, EL_END]] - main[elements[:, EL_FIRST]]
    counts = elements[:, EL_TOKEN_END] - elements[:, EL_TOKEN]
    owner = np.repeat(np.arange(len(elements)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    tokens, which = np.unique(page.tokens[elements[owner, EL_TOKEN] + offsets], return_inverse=True)
    k, t = np.bincount(which, in_main[owner], len(tokens)), np.bincount(which, in_words[owner], len(tokens))
    seen = t > 0
    tokens, k, t = tokens[seen], k[seen], t[seen]
    # A token weighs as the root of its share of the page's words: one around everything says as little as a rare one.
    weight = np.sqrt(np.minimum(t, words[-1]) / max(words[-1], 1.0))
    return tokens, weight * k / t, weight


def token_scores(examples: Sequence[Example], recipe: Recipe) -> I32:
    """Of each token the log-odds that text in its elements is main text, over those of all text; in 64ths."""
    main, whole = np.zeros(features.TOKENS), np.zeros(features.TOKENS)
    pages = np.zeros(features.TOKENS, np.int64)
    for example in examples:
        tokens, k, t = example.token_counts
        main[tokens] += k
        whole[tokens] += t
        pages[tokens] += 1
    prior = main.sum() / max(whole.sum(), 1e-9)
    prior = min(max(prior, 1e-3), 1 - 1e-3)
    odds = (main + recipe.token_prior * prior) / (whole - main + recipe.token_prior * (1 - prior))
    scores = np.log(odds) - np.log(prior / (1 - prior))
    scores[pages < recipe.token_pages] = 0
    table: I32 = np.clip(np.round(64 * scores), -256, 256).astype(np.int32)
    return table


def fold_of(domain: str, folds: int, salt: str = "") -> int:
    """The part that a domain belongs to."""
    return int.from_bytes(hashlib.sha256(f"{salt}{domain}".encode()).digest()[:8], "big") % folds


def _silent(line: str) -> None:
    """Nobody listens."""


def train(
    examples: Sequence[Example], recipe: Recipe, facts: dict[str, Any], say: Callable[[str], None] = _silent
) -> Model:
    """A model of these pages.

    Args:
        examples: see `prepare`.
        recipe: how.
        facts: what the model says of its data.
        say: told what is being done.

    Raises:
        ConfigError: LightGBM is not installed.
    """
    _library()
    tables, shares, weights = [], [], []
    for fold in range(FOLDS):
        scores = token_scores([e for e in examples if fold_of(e.domain, FOLDS, "tokens ") != fold], recipe)
        for example in examples:
            if fold_of(example.domain, FOLDS, "tokens ") != fold:
                continue
            known = example.shares >= 0
            words = np.minimum(example.page.blocks[:, BL_WORDS], MAX_BLOCK_WORDS)[known].astype(np.float64)
            tables.append(features.describe(example.page, scores)[known])
            shares.append(example.shares[known])
            weights.append(words / max(words.sum(), 1.0) + example.emphasis[known])
        say(f"tokens and features, part {fold + 1} of {FOLDS}")
    table, weight = np.concatenate(tables), np.concatenate(weights)
    say(f"{recipe.trees} trees on {len(table):,} blocks of {len(examples):,} pages")
    booster = _boost(table, np.concatenate(shares), weight * len(weight) / weight.sum(), recipe)
    roots, nodes, leaves = _flatten(booster.dump_model()["tree_info"])
    return Model(
        scores=token_scores(examples, recipe), roots=roots, nodes=nodes, leaves=leaves, link=logistic_link(), base=0,
        lowest=round(recipe.lowest * ONE), highest=round(recipe.highest * ONE),
        facts={"tokenmill": pipeline.__version__, "pages": len(examples), "blocks": len(table),
               "recipe": {k: v for k, v in dataclasses.asdict(recipe).items() if k != "threads"}, **facts},
    )  # fmt: skip


def _library() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        hint = "pip install 'tokenmill[extractor]'"
        raise ConfigError("extractor train", f"needs lightgbm, which is not there: {error}", hint=hint) from error
    return lightgbm


def _boost(table: I32, shares: Floats, weight: Floats, recipe: Recipe) -> Any:
    lightgbm = _library()
    settings = {
        "objective": "cross_entropy", "num_leaves": recipe.leaves, "min_data_in_leaf": recipe.min_leaf,
        "learning_rate": recipe.learning_rate, "max_bin": 127, "feature_fraction": 0.5, "bagging_fraction": 0.8,
        "bagging_freq": 1, "lambda_l2": 5.0, "seed": recipe.seed, "num_threads": recipe.threads, "deterministic": True,
        "force_row_wise": True, "verbose": -1,
    }  # fmt: skip
    return lightgbm.train(settings, lightgbm.Dataset(table, shares, weight=weight), recipe.trees)


def _flatten(trees: Sequence[dict[str, Any]]) -> tuple[I32, I32, I32]:
    """LightGBM's trees as arrays (see `Model`); thresholds between whole numbers become the lower one."""
    roots: list[int] = []
    nodes: list[list[int]] = []
    leaves: list[int] = []

    def add(node: dict[str, Any]) -> int:
        if "leaf_value" in node:
            leaves.append(round(node["leaf_value"] * ONE))
            return -len(leaves)
        if node["decision_type"] != "<=":
            raise AssertionError(f"a split by {node['decision_type']}")
        number = len(nodes)
        nodes.append([node["split_feature"], int(np.floor(node["threshold"])), 0, 0])
        nodes[number][2] = add(node["left_child"])
        nodes[number][3] = add(node["right_child"])
        return number

    for tree in trees:
        roots.append(add(tree["tree_structure"]))
    return np.array(roots, np.int32), np.array(nodes, np.int32).reshape(-1, 4), np.array(leaves, np.int32)
