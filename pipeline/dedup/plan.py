"""What a dedup of so many documents finds and needs, before it is run."""

import dataclasses

from pipeline.dedup.components import BLOCK_EDGES, DOCUMENT_BYTES, EDGE_BYTES, in_memory
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.minhash import found_probability
from pipeline.dedup.runs import ROW_BYTES

SIMILARITIES = tuple(step / 20 for step in range(8, 21))
"""Where the S-curve is shown: 0.40, 0.45, ... 1.00."""
BAND_ROW_BYTES = 12
DIGEST_ROW_BYTES = 20
ORDER_BYTES = 8
EDGE_FILE_BYTES = 16


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
    """`union-find` in memory or `stars` on disk."""


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
        components="union-find" if in_memory(documents, budget) else "stars",
    )


def partitions_for(rows: int, budget: int) -> int:
    """Equal parts of the hash range so that sorting one of them needs about half of `budget` bytes."""
    return max(1, -(-rows * ROW_BYTES * 2 // budget))
