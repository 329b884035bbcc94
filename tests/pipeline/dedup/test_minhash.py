import itertools
import math
import random

import numpy as np
import pytest

from pipeline.dedup.config import MinHashConfig
from pipeline.dedup.minhash import (
    band_hashes,
    estimated_jaccard,
    found_probability,
    salt,
    signatures,
    sketches,
)
from pipeline.dedup.shingles import shingle

CONFIG = MinHashConfig()


def sign(shingles, config=CONFIG):
    return signatures(np.asarray(shingles, np.uint64), np.array([0, len(shingles)]), config)[0]


def random_sets(seed, common, each):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**64, common + 2 * each, np.uint64)
    return values[: common + each], np.concatenate([values[:common], values[common + each :]])


def test_values_are_the_same_in_every_version():
    found = shingle(["The quick brown fox jumps over 3,000 lazy dogs."])
    signature = signatures(found.shingles, found.offsets, CONFIG)
    assert signature[0, :3].tolist() == [0x10D4BE47EC8E7128, 0x2835DA8B9C2F638F, 0x3860B795D2188A5F]
    assert band_hashes(signature, CONFIG, np.zeros(1, np.uint64))[0, :2].tolist() == [
        0xC51E4D33D4BE24FC, 0xF84D903505165BCF,
    ]  # fmt: skip
    assert sketches(signature)[0, :5].tolist() == [16, 245, 164, 2, 97]


def test_a_signature_is_a_minimum_over_a_set():
    one, other = random_sets(1, 500, 20_000)
    both = np.concatenate([one, other])
    assert sign(both).tolist() == np.minimum(sign(one), sign(other)).tolist()
    assert sign(one).tolist() == sign(one[::-1]).tolist() == sign(np.concatenate([one, one])).tolist()
    assert sign(one).tolist() != sign(one, MinHashConfig(seed=2)).tolist()


def test_documents_do_not_touch_each_other_wherever_blocks_end():
    rng = np.random.default_rng(2)
    sizes = [0, 5, 16_384, 1, 0, 40_000, 3, 0]
    offsets = np.cumsum([0, *sizes])
    shingles = rng.integers(0, 2**64, offsets[-1], np.uint64)
    found = signatures(shingles, offsets, CONFIG)
    for document, (start, end) in enumerate(itertools.pairwise(offsets)):
        assert found[document].tolist() == sign(shingles[start:end]).tolist()
    assert (found[0] == 2**64 - 1).all()


def test_bands_agree_where_all_their_rows_do():
    config = MinHashConfig(bands=3, rows=2)
    signature = np.array([[1, 2, 1, 2, 5, 6], [1, 2, 1, 3, 5, 6]], np.uint64)
    same, other = np.zeros(2, np.uint64), np.array([salt("a"), salt("b")], np.uint64)
    bands = band_hashes(signature, config, same)
    assert (bands[0] == bands[1]).tolist() == [True, False, True]
    assert bands[0, 0] != bands[0, 1]
    assert not (band_hashes(signature, config, other)[0] == band_hashes(signature, config, other)[1]).any()


@pytest.mark.parametrize(
    ("similarity", "probability"), [(0.0, 0.0), (0.7, 0.56), (0.75, 0.77), (0.8, 0.92), (0.85, 0.99), (1.0, 1.0)]
)
def test_the_s_curve_is_finewebs(similarity, probability):
    assert found_probability(similarity, CONFIG) == pytest.approx(probability, abs=0.005)


@pytest.mark.parametrize(("common", "each"), [(0, 300), (300, 300), (800, 100), (300, 0)])
def test_sketches_estimate_the_similarity(common, each):
    config = MinHashConfig(bands=128, rows=8)
    one, other = random_sets(3, common, each)
    exact = common / (common + 2 * each)
    found = estimated_jaccard(sketches(sign(one, config))[None], sketches(sign(other, config))[None])
    assert found[0] == pytest.approx(exact, abs=4 * math.sqrt(max(exact * (1 - exact), 0.01) / config.hashes))


def edited(words, share, rng):
    return [
        f"edit{chr(97 + rng.randrange(26))}{chr(97 + rng.randrange(26))}" if rng.random() < share else word
        for word in words
    ]


def test_recall_on_real_pages_follows_the_s_curve(shared_data):
    """150 real pages, each beside an edited copy; exact Jaccard by brute force over all 300, ten choices of hashes."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text

    rng = random.Random(0)
    pages = []
    with (shared_data / "web" / "crawl-00000.warc.gz").open("rb") as source:
        for record in ArchiveIterator(source, record_types=WarcRecordType.response):
            words = extract_plain_text(record.reader.read().decode("utf-8", "replace"), main_content=True).split()
            if len(words) > 100:
                pages.append(words[:1500])
            if len(pages) == 150:
                break
    texts = [" ".join(words) for words in pages]
    texts += [" ".join(edited(words, rng.uniform(0, 0.09), rng)) for words in pages]
    found = shingle(texts)
    sets = [set(found.shingles[a:b].tolist()) for a, b in itertools.pairwise(found.offsets.tolist())]
    copies = [len(sets[a] & sets[a + 150]) / len(sets[a] | sets[a + 150]) for a in range(150)]

    joined = {}
    for seed in range(10):
        config = MinHashConfig(seed=seed)
        signature = signatures(found.shingles, found.offsets, config)
        bands = band_hashes(signature, config, np.zeros(len(texts), np.uint64))
        for a in range(150):
            joined[seed, a] = bool((bands[a] == bands[a + 150]).any())
        pairs = np.argwhere(np.triu((bands[:, None, :] == bands[None, :, :]).any(axis=2), 1)).tolist()
        assert [(a, b) for a, b in pairs if len(sets[a] & sets[b]) < 0.2 * len(sets[a] | sets[b])] == []

    checked = 0
    for low in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        inside = [a for a in range(150) if low <= copies[a] < low + 0.1]
        chances = [found_probability(copies[a], CONFIG) for a in inside]
        trials = 10 * len(inside)
        hits = sum(joined[seed, a] for seed in range(10) for a in inside)
        reach = 3.3 * math.sqrt(10 * sum(chance * (1 - chance) for chance in chances)) + 0.5
        assert abs(hits - 10 * sum(chances)) <= reach, (low, trials)
        checked += trials
    assert checked > 1000
