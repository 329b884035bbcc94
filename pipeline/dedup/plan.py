"""What a dedup of so many documents finds and needs, before it is run."""

import dataclasses
import math

import numpy as np

from pipeline.dedup.components import BLOCK_EDGES, DOCUMENT_BYTES, EDGE_BYTES, in_memory
from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.dedup.minhash import found_probability
from pipeline.dedup.sorted_runs import ROW_BYTES

SIMILARITIES = tuple(step / 20 for step in range(8, 21))
"""Where the S-curve is shown: 0.40, 0.45, ... 1.00."""
BAND_ROW_BYTES = 12
DIGEST_ROW_BYTES = 20
ORDER_BYTES = 8
EDGE_FILE_BYTES = 16
PAGE_KILOBYTES = 6.2
"""Mean text of the documents that the CPU time was measured on."""
CPU_MS, CPU_MS_PER_HASH = 0.27, 0.00075
"""CPU ms for one such document: all of step 3 but the hash functions, and one hash function. Together 0.35 ms at 112
hashes (`tests/benchmarks/dedup.py`; docs/performance.md)."""
RECALL = 0.9
"""Share of the pairs at the threshold that a suggestion finds, where none is asked for."""
_MAX_BANDS = 1 << 40
GRID = 1000
"""Points of the similarity axis at which the errors of a choice of bands are summed."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Bytes are of the whole run, memory is of one task."""

    documents: int
    threshold: float | None
    """The similarity at which the S-curve is steepest, about (1/bands)^(1/rows)."""
    s_curve: tuple[tuple[float, float], ...]
    """(Jaccard similarity, probability of being found)."""
    signature_bytes: int
    """Disk for signature files."""
    edge_bytes_at_most: int
    """Disk for edges if every document collided in every band."""
    partitions: int
    """Tasks that sort band hashes."""
    partition_memory: int
    """Memory of each."""
    components_memory: int
    """Memory of the components task."""
    components: str
    """`in memory` (union-find) or `on disk`."""
    cpu_hours: float
    """Of the whole step, for documents of PAGE_KILOBYTES."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """Bands and rows, what they find at a threshold, and how far their S-curve is from a step there."""

    bands: int
    rows: int
    found: float
    """Probability that a pair as similar as the threshold is found."""
    false_positives: float
    """Area under the curve below the threshold: pairs less similar than wanted that are found."""
    false_negatives: float
    """Area above the curve beyond the threshold: pairs as similar as wanted that are missed."""

    @property
    def hashes(self) -> int:
        """Hash functions."""
        return self.bands * self.rows


def plan(documents: int, config: DedupConfig, budget: int) -> Plan:
    """The plan for `documents` documents with `budget` bytes of memory for each task.

    Raises:
        ValueError: documents is negative or budget is not positive.
    """
    if documents < 0:
        raise ValueError(f"documents: must be at least 0, got {documents}")
    if budget <= 0:
        raise ValueError(f"budget: must be above 0, got {budget}")
    minhash = config.minhash
    bands, hashes = (minhash.bands, minhash.hashes) if minhash else (0, 0)
    rows = documents * bands
    parts = partitions_for(max(rows, documents), budget)
    return Plan(
        documents=documents,
        threshold=(1 / minhash.bands) ** (1 / minhash.rows) if minhash else None,
        s_curve=tuple((s, found_probability(s, minhash)) for s in SIMILARITIES) if minhash else (),
        signature_bytes=rows * BAND_ROW_BYTES + documents * (DIGEST_ROW_BYTES + ORDER_BYTES + hashes),
        edge_bytes_at_most=(rows + documents) * EDGE_FILE_BYTES,
        partitions=parts,
        partition_memory=min(budget, -(-max(rows, documents) // parts) * ROW_BYTES),
        components_memory=min(budget, documents * DOCUMENT_BYTES + BLOCK_EDGES * EDGE_BYTES),
        components="in memory" if in_memory(documents, budget) else "on disk",
        cpu_hours=documents * (CPU_MS + (CPU_MS_PER_HASH * hashes)) / 3_600_000,
    )


def suggest(threshold: float, max_hashes: int, recall: float = RECALL) -> Suggestion:
    """The bands and rows of at most `max_hashes` hashes that find a share of at least `recall` of the pairs at
    `threshold`, and the fewest below it.

    datasketch's MinHashLSH (`_optimal_param`) minimizes a weighted sum of the two areas of `errors`. With equal weights
    it leaves a pair at the threshold to a coin, so the recall there is a bound here, and the first area what is
    minimized; of equals the one with fewer hashes. For a number of rows, fewer bands find fewer of both: the least
    number that reaches the recall is best.

    Raises:
        ValueError: threshold or recall is not between 0 and 1, max_hashes is not 1 to 4096, or too few for them.
    """
    for name, value in (("threshold", threshold), ("recall", recall)):
        if not 0 < value < 1:
            raise ValueError(f"{name}: must be above 0 and below 1, got {value}")
    if not 1 <= max_hashes <= 4096:
        raise ValueError(f"hashes: must be 1 to 4096, got {max_hashes}")
    shapes = ((_least_bands(threshold, rows, recall), rows) for rows in range(1, max_hashes + 1))
    choices = [errors(threshold, bands, rows) for bands, rows in shapes if bands * rows <= max_hashes]
    if not choices:
        needed = _least_bands(threshold, 1, recall)
        raise ValueError(f"no bands and rows of at most {max_hashes} hashes find {recall:g} of the pairs at "
                         f"{threshold:g}; {needed} hashes can")  # fmt: skip
    return min(choices, key=lambda choice: (round(choice.false_positives, 9), choice.hashes))


def _least_bands(threshold: float, rows: int, recall: float) -> int:
    """How many bands of so many rows find a share of `recall` of the pairs at the threshold."""
    alike = threshold**rows
    if alike < 1e-9:
        return _MAX_BANDS
    bands = max(1, math.floor(math.log1p(-recall) / math.log1p(-alike)))
    while 1 - (1 - alike) ** bands < recall:  # one more at most, and what rounding takes
        bands += 1
    return bands


def errors(threshold: float, bands: int, rows: int) -> Suggestion:
    """What `bands` bands of `rows` rows find at `threshold`, and the two areas between their S-curve and a step there
    (midpoint rule)."""
    similarity = (np.arange(GRID) + 0.5) / GRID
    found = 1 - (1 - similarity**rows) ** bands
    below = similarity < threshold
    wrong = float(found[below].sum() / GRID), float((1 - found[~below]).sum() / GRID)
    at = found_probability(threshold, MinHashConfig(bands=bands, rows=rows))
    return Suggestion(bands=bands, rows=rows, found=at, false_positives=wrong[0], false_negatives=wrong[1])


def partitions_for(rows: int, budget: int) -> int:
    """Equal parts of the hash range so that sorting one of them needs about half of `budget` bytes."""
    return max(1, -(-rows * ROW_BYTES * 2 // budget))
