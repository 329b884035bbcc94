"""Clusters on a terminal."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pipeline.dedup.diff import Diff, Piece
from pipeline.report.cluster_texts import Pair
from pipeline.report.clusters import Cluster, Clusters, Precision
from pipeline.report.printable import printable

_LEFT, _RIGHT = ("on dark_red", "[-", "-]"), ("on dark_green", "{+", "+}")
"""How a difference is shown: its style on a terminal, and what stands around it elsewhere (as in wdiff)."""


def print_clusters(found: Clusters, console: Console, diffs: int) -> None:
    """Print what dedup found; side by side only the first `diffs` clusters."""

    def say(line: str, style: str = "") -> None:
        console.print(Text(line, style), soft_wrap=True)

    removed = ", ".join(f"{number:,} {reason or 'kept all the same'}" for reason, number in found.removed.items())
    say(f"{found.clusters:,} clusters of two documents or more; removed: {removed or 'none'}", "bold")
    if found.for_previous_runs:
        say(f"{found.for_previous_runs:,} of these were duplicates of documents in previous runs")
    if found.partial:
        say("From a sample of the parts.")
    for line in precision_lines(found.precision):
        say(line)
    if found.top:
        console.print(_top(found))
    for number, cluster in enumerate(found.top):
        say(f"\n{number + 1}. {cluster.size:,} documents; kept {printable(cluster.kept.url)}", "bold")
        for pair in cluster.members:
            say(f"   {pair_line(pair)}")
        if cluster.difference and number < diffs:
            console.print(_side_by_side(cluster, cluster.difference, plain=not console.is_terminal))
        elif number < diffs and cluster.members:
            say(f"   not compared side by side: a text is gone, or too long ({found.texts})")


def precision_lines(found: Precision) -> Iterator[str]:
    """What the sample says, in words."""
    if not found.compared or found.mean is None:
        yield f"{found.pairs:,} near-duplicates, of which none could be compared with the document that was kept"
        return
    shares = ", ".join(f"{share:.1%} at {level} or more" for level, share in found.at_least)
    yield (
        f"Near-duplicates compared exactly with the document that was kept: {found.compared:,} of {found.pairs:,}; "
        f"Jaccard similarity {shares}; mean {found.mean:.3f}"
    )
    if found.mean_estimate is not None and found.mean_error is not None:
        yield f"estimated from signatures: mean {found.mean_estimate:.3f}, off by {found.mean_error:.3f} on average"
    if found.compared < found.sampled:
        yield f"{found.sampled - found.compared:,} of the sample could not be compared: a text is gone or too long"


def pair_line(pair: Pair) -> str:
    """One member, how alike it is to the kept document, and what became of it."""
    exact = "" if pair.exact is None else f"exact {pair.exact:.3f}, "
    estimate = "" if pair.estimate is None else f"estimated {pair.estimate:.3f}, "
    return f"{exact}{estimate}{pair.reason or 'kept all the same'}: {printable(pair.page.url)}"


def _top(found: Clusters) -> Table:
    heads = ("", "documents", "kept", "hosts of the others")
    table = Table(*(Column(head, overflow="fold") for head in heads), show_edge=False, pad_edge=False)
    for number, cluster in enumerate(found.top, 1):
        table.add_row(str(number), f"{cluster.size:,}", Text(printable(cluster.kept.url)), Text(host_list(cluster)))
    return table


def host_list(cluster: Cluster) -> str:
    """The most frequent hosts with their pages, and how many more there are."""
    hosts = ", ".join(f"{printable(name)} {number:,}" for name, number in cluster.hosts)
    return hosts + (f" and {cluster.other_hosts:,} more" if cluster.other_hosts else "")


def _side_by_side(cluster: Cluster, difference: Diff, *, plain: bool) -> Table:
    other = next(pair for pair in cluster.members if pair.page.id == cluster.shown)
    heads = (f"kept {cluster.kept.id}", f"{other.reason or 'also kept'} {other.page.id}")
    table = Table(*(Column(Text(printable(head)), ratio=1, overflow="fold") for head in heads), expand=True)
    for row in difference.rows:
        if row.kind == "skipped":
            note = Text(f"… {row.lines:,} equal lines", "dim")
            table.add_row(note, note)
        else:
            table.add_row(_line(row.left, *_LEFT, plain=plain), _line(row.right, *_RIGHT, plain=plain))
    if difference.cut:
        table.add_row(Text("… more is left out", "dim"), Text("… more is left out", "dim"))
    return table


def _line(pieces: tuple[Piece, ...], style: str, opening: str, closing: str, *, plain: bool) -> Text:
    line = Text()
    for number, (text, differs) in enumerate(pieces):
        shown = printable(text)
        line.append(" " if number else "")
        line.append(f"{opening}{shown}{closing}" if plain and differs else shown, style if differs else "")
    return line
