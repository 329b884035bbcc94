"""How often the kept document of a cluster of duplicates is written to the shards.

Pages that a crawl met a few dozen times tend to be better than pages that it met once or ten thousand times. FineWeb2
therefore keeps one document of each cluster, notes how many it stands for, and repeats it by a weight that depends on
that number (Penedo et al. 2025, arXiv:2506.20920, section on rehydration).
"""

import dataclasses
import hashlib
import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

FINEWEB2: Mapping[int, float] = {1: 1, 2: 2, 3: 3, 4: 3, 5: 5, 100: 8, 1000: 1}
"""The weights of FineWeb2's README (github.com/huggingface/fineweb-2): 1 to 3 as often as found, 4 three times, 5 to 99
five times, 100 to 999 eight times, larger clusters once."""
MAX_COPIES = 1000
_DRAWS = 2**64
_PERSON = b"rehydrate"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rehydrate:
    """Repeat kept documents by how many duplicates they stand for, as FineWeb2 does."""

    weights: Mapping[int, float] = dataclasses.field(default_factory=lambda: dict(FINEWEB2))
    """Smallest cluster size -> how often a document of that size, or of any up to the next one given, is written. 2.3
    is twice, and a third time for three of ten documents, chosen by hash of the id; below 1 some are left out (on
    record in `dropped`). The default is FineWeb2's; its weights for single languages have the same form."""

    def __post_init__(self) -> None:
        if min(self.weights, default=0) != 1:
            raise ValueError(f"weights: must begin with cluster size 1, got {sorted(self.weights)}")
        for size, weight in self.weights.items():
            if not (math.isfinite(weight) and 0 <= weight <= MAX_COPIES):
                raise ValueError(f"weights.{size}: must be between 0 and {MAX_COPIES}, got {weight}")

    def weight(self, cluster_size: int) -> float:
        """The weight of a cluster of `cluster_size` documents, 1 or more."""
        sizes = sorted(self.weights)
        return self.weights[sizes[bisect_right(sizes, max(cluster_size, 1)) - 1]]

    def copies(self, document_id: str, cluster_size: int, seed: int) -> int:
        """How often a document is written: its weight, rounded up with the probability of its fraction."""
        weight = self.weight(cluster_size)
        whole = math.floor(weight)
        return whole + (_draw(document_id, seed) < (weight - whole) * _DRAWS)


def weights_from_rates(
    sizes: Sequence[int], rates: Sequence[float], global_rate: float, max_weight: int = 10, window: int = 5
) -> dict[int, int]:
    """Weights by how many documents of each cluster size the filters removed, FineWeb2's second recipe.

    Sizes that are filtered as much as the average or more have weight 1, the one filtered least has `max_weight`, those
    in between lie on a line; a running mean smooths the weights (not within half a window of either end).

    Args:
        sizes: cluster sizes, ascending, the first one 1.
        rates: share of the documents of each size that the filters removed, 0 to 1.
        global_rate: share of all documents that they removed.
        max_weight: weight of the size filtered least.
        window: sizes in the running mean, odd.

    Raises:
        ValueError: sizes do not ascend from 1, or there are not as many rates.

    Source: misc/rehydration of github.com/huggingface/fineweb-2, which has the weights of each language.
    """
    if len(sizes) != len(rates):
        raise ValueError(f"rates: must be as many as the {len(sizes)} sizes, got {len(rates)}")
    if not len(sizes) or sizes[0] != 1 or any(b <= a for a, b in itertools.pairwise(sizes)):
        raise ValueError(f"sizes: must ascend from 1, got {list(sizes)[:10]}")
    rate = np.asarray(rates, np.float64)
    below = rate < global_rate
    repeats = np.ones(len(rate))
    if below.any():
        repeats[below] += (max_weight - 1) * (global_rate - rate[below]) / (global_rate - rate.min())
    half = window // 2
    smooth = repeats.copy()
    for at in range(half, len(rate) - half):
        smooth[at] = repeats[at - half : at + half + 1].mean()
    found = np.rint(smooth).astype(int).tolist()
    return {size: weight for at, (size, weight) in enumerate(zip(sizes, found, strict=True))
            if at == 0 or weight != found[at - 1]}  # fmt: skip


def _draw(document_id: str, seed: int) -> int:
    """A number below 2^64, drawn for the document under the seed."""
    name, key = document_id.encode("utf-8", "surrogatepass"), seed.to_bytes(8, "little", signed=True)
    return int.from_bytes(hashlib.blake2b(name, digest_size=8, key=key, person=_PERSON).digest(), "big")
