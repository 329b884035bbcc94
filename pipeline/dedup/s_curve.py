"""S-curves as text: how likely a pair of each similarity is found."""

from collections.abc import Sequence

from pipeline.dedup.config import MinHashConfig
from pipeline.dedup.minhash import found_probability

MARKS = "*+"
"""Of the first curve and the second."""
WIDTH, HEIGHT = 61, 11


def draw(curves: Sequence[MinHashConfig], threshold: float | None = None) -> list[str]:
    """Lines of a plot, WIDTH similarities from 0 to 1 across and HEIGHT probabilities from 1 to 0 down.

    Args:
        curves: at most two; where they meet, the first is seen.
        threshold: a similarity to mark with a vertical line.
    """
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    if threshold is not None:
        for row in grid:
            row[round(threshold * (WIDTH - 1))] = "|"
    for mark, config in reversed(list(zip(MARKS, curves, strict=False))):
        for column in range(WIDTH):
            found = found_probability(column / (WIDTH - 1), config)
            grid[round((1 - found) * (HEIGHT - 1))][column] = mark
    lines = [f"{1 - number / (HEIGHT - 1):.1f} {''.join(row).rstrip()}" for number, row in enumerate(grid)]
    ticks = "".join(f"{step / 10:<6.1f}" for step in range(11))
    return [*lines, f"    {ticks}".rstrip()]
