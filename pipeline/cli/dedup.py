"""The commands about duplicates: what a dedup would find and need, and what it found."""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pipeline.cli.console import console
from pipeline.contract.errors import UserError

if TYPE_CHECKING:
    from pipeline.dedup.config import DedupConfig
    from pipeline.dedup.plan import Plan

    Chosen = Mapping[str, DedupConfig]
    Plans = Mapping[str, Plan]

dedup_app = typer.Typer(help="Duplicates: what finding them takes.", no_args_is_help=True)
_out = console()
_UNITS = {"": 1, "B": 1, **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
          **{f"{prefix}IB": 1024**power for power, prefix in enumerate("KMGT", 1)}}  # fmt: skip


def add_dedup_commands(app: typer.Typer) -> None:
    """Hang `dedup` and `clusters` on the command line."""
    app.add_typer(dedup_app, name="dedup")
    app.command("clusters")(clusters)


@dedup_app.callback()
def dedup() -> None:
    """Duplicates: what finding them takes."""


@dedup_app.command("plan")
def plan(
    threshold: Annotated[
        float | None, typer.Option(help="Jaccard similarity from which pairs should be found; suggests bands and rows.")
    ] = None,
    recall: Annotated[
        float | None, typer.Option(help="Share of the pairs at the threshold that a suggestion finds at least: 0.9.")
    ] = None,
    documents: Annotated[str, typer.Option(help="How many there are, e.g. 3e8.")] = "1e6",
    memory: Annotated[str, typer.Option(help="Of one task, e.g. 2GB.")] = "1GiB",
    config: Annotated[Path | None, typer.Option(help="Take bands and rows from this config, not the defaults.")] = None,
    hashes: Annotated[int | None, typer.Option(help="Hash functions a suggestion may use. Default: as many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The S-curve of the bands and rows, what they cost for so many documents, and better ones for a threshold."""
    from pipeline.dedup.plan import RECALL, suggest
    from pipeline.dedup.plan import plan as make_plan
    from pipeline.dedup.s_curve import draw

    if recall is not None and threshold is None:
        raise UserError("--recall", "is of the pairs at a threshold", hint="give --threshold too")
    asked = RECALL if recall is None else recall
    number, budget, given = _count(documents), _bytes(memory), _dedup(config)
    chosen = {"config": given}
    try:
        if threshold is not None and given.minhash:
            found = suggest(threshold, given.minhash.hashes if hashes is None else hashes, asked)
            minhash = dataclasses.replace(given.minhash, bands=found.bands, rows=found.rows)
            chosen["suggested"] = dataclasses.replace(given, minhash=minhash)
        plans = {name: make_plan(number, one, budget) for name, one in chosen.items()}
    except ValueError as error:
        raise UserError("dedup plan", str(error)) from error
    if as_json:
        typer.echo(json.dumps({"wanted": threshold, "recall": asked, **_plan_json(chosen, plans, threshold)}))
        return
    curves = [one.minhash for one in chosen.values() if one.minhash]
    for line in draw(curves, threshold) if curves else ["exact duplicates alone: there is no S-curve"]:
        _out.print(line, highlight=False, markup=False)
    _out.print(_plan_table(chosen, plans, threshold))
    for line in _plan_notes(chosen, plans, threshold, asked):
        _out.print(line, highlight=False, markup=False, soft_wrap=True)


def _dedup(config: Path | None) -> "DedupConfig":
    from pipeline.dedup.config import DedupConfig

    if config is None:
        return DedupConfig()
    from pipeline.config import load_config

    found = load_config(config).dedup
    if found is None:
        raise UserError(f"{config}: dedup", "is null: nothing is deduplicated", hint="leave --config out")
    return found


def _count(text: str) -> int:
    try:
        number = float(text.replace(",", "").replace("_", ""))
        if number < 0 or number != int(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError("--documents", f"expected a whole number such as 1000000 or 3e8, got '{text}'") from None
    return int(number)


def _bytes(text: str) -> int:
    """`2GB` is 2 * 10^9, `2GiB` 2 * 2^30."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    size = int(float(match[1]) * _UNITS.get(match[2].upper(), 0)) if match else 0
    if size <= 0:
        raise UserError("--memory", f"expected a size such as 2GB or 512MiB, got '{text}'")
    return size


def _size(number: float) -> str:
    power = next((power for power in range(5) if number < 1000 ** (power + 1)), 4)
    return f"{number / 1000**power:,.3g} {'kMGT'[power - 1] if power else ''}B"


def _plan_json(chosen: "Chosen", plans: "Plans", threshold: float | None) -> dict[str, Any]:
    from pipeline.dedup.plan import errors

    tree: dict[str, Any] = {}
    for name, one in chosen.items():
        minhash = one.minhash
        tree[name] = {"bands": minhash and minhash.bands, "rows": minhash and minhash.rows,
                      "hashes": minhash and minhash.hashes, **dataclasses.asdict(plans[name])}  # fmt: skip
        tree[name]["s_curve"] = [list(point) for point in plans[name].s_curve]
        if threshold is not None and minhash:
            wrong = errors(threshold, minhash.bands, minhash.rows)
            tree[name] |= {"found": wrong.found, "false_positives": wrong.false_positives,
                           "false_negatives": wrong.false_negatives}  # fmt: skip
    return tree


def _plan_table(chosen: "Chosen", plans: "Plans", threshold: float | None) -> Table:
    from pipeline.dedup.plan import errors
    from pipeline.dedup.s_curve import MARKS

    table = Table("", show_edge=False, pad_edge=False)
    for mark, (name, one) in zip(MARKS, chosen.items(), strict=False):
        shape = f"{one.minhash.bands} bands of {one.minhash.rows}" if one.minhash else "exact"
        table.add_column(f"{name} ({mark})\n{shape}", justify="right")
    every = list(plans.values())
    minhashes = [one.minhash for one in chosen.values() if one.minhash]
    wrong = [errors(threshold, one.bands, one.rows) for one in minhashes] if threshold is not None else []
    curves = {one: [curve.s_curve[at][1] for curve in every] for at, (one, _) in enumerate(every[0].s_curve)}
    curves |= {threshold: [one.found for one in wrong]} if threshold is not None and wrong else {}
    for similarity, found in sorted(curves.items()):
        name = f"{similarity:.2f}" if similarity != threshold else f"{similarity:.10g}"
        table.add_row(f"P(found) at {name}", *(f"{one:.3f}" for one in found))
    if wrong:
        table.add_row(f"found though below {threshold:g} (area)", *(f"{one.false_positives:.4f}" for one in wrong))
        table.add_row(f"missed though above {threshold:g} (area)", *(f"{one.false_negatives:.4f}" for one in wrong))
    if minhashes:
        table.add_row("hash functions", *(f"{one.hashes:,}" for one in minhashes))
    rows: dict[str, Callable[[Plan], str]] = {
        "CPU hours": lambda one: f"{one.cpu_hours:,.3g}",
        "disk for signatures": lambda one: _size(one.signature_bytes),
        "disk for edges, at most": lambda one: _size(one.edge_bytes_at_most),
        "partitions": lambda one: f"{one.partitions:,}",
        "memory to sort one": lambda one: _size(one.partition_memory),
        "memory for components": lambda one: f"{_size(one.components_memory)} ({one.components})",
    }
    for name, shown in rows.items():
        table.add_row(name, *(shown(one) for one in every))
    return table


def _plan_notes(chosen: "Chosen", plans: "Plans", threshold: float | None, recall: float) -> list[str]:
    from pipeline.dedup.plan import CPU_MS, CPU_MS_PER_HASH, PAGE_KILOBYTES

    first = next(iter(plans.values()))
    hashes = chosen["config"].minhash.hashes if chosen["config"].minhash else 0
    milliseconds = CPU_MS + CPU_MS_PER_HASH * hashes
    notes = [
        f"For {first.documents:,} documents of {PAGE_KILOBYTES} KB at {milliseconds:.2f} CPU ms each "
        "(docs/performance.md); CPU time grows with the length of the text, disk does not."
    ]
    minhash = chosen["suggested"].minhash if "suggested" in chosen else None
    if minhash and threshold is not None:
        notes += _trade(chosen, plans, threshold, recall)
    return notes


def _trade(chosen: "Chosen", plans: "Plans", threshold: float, recall: float) -> list[str]:
    """What the suggestion gives for what it takes."""
    from pipeline.dedup.plan import errors

    config, suggested = (chosen[name].minhash for name in ("config", "suggested"))
    assert config and suggested
    if (config.bands, config.rows) == (suggested.bands, suggested.rows):
        return [f"To find {recall:g} of the pairs at {threshold:g} with so many hash functions, the config is best."]
    old, new = (errors(threshold, one.bands, one.rows) for one in (config, suggested))
    before, after = plans["config"], plans["suggested"]
    return [
        f"The suggestion finds {new.found:.3f} of the pairs at {threshold:g} (asked: {recall:g}) instead of "
        f"{old.found:.3f}, and below it an area of {new.false_positives:.4f} instead of {old.false_positives:.4f}.",
        f"It takes {suggested.hashes:,} hash functions instead of {config.hashes:,}, {after.cpu_hours:,.3g} CPU hours "
        f"instead of {before.cpu_hours:,.3g}, {_size(after.signature_bytes)} for signatures instead of "
        f"{_size(before.signature_bytes)}.",
        "More --recall finds more below the threshold too (dedup.minhash.verify sorts such pairs out); more --hashes "
        "make the curve steeper.",
        f"To use the suggestion: --set dedup.minhash.bands={suggested.bands} --set dedup.minhash.rows={suggested.rows}",
    ]


def clusters(
    out: Annotated[Path, typer.Argument(help="The run folder.", metavar="OUT", show_default=False)],
    top: Annotated[int, typer.Option(min=0, help="How many of the biggest to show.")] = 50,
    members: Annotated[int, typer.Option(min=1, help="Members of each to show, sampled.")] = 5,
    pairs: Annotated[int, typer.Option(min=0, help="Near-duplicates to compare exactly, sampled from the run.")] = 300,
    diffs: Annotated[int, typer.Option(min=0, help="Clusters to show a pair of side by side.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page, one file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The biggest clusters of duplicates: hosts, members, differences, and how alike near-duplicates really are."""
    from pipeline.report.cluster_listing import print_clusters
    from pipeline.report.clusters import find_clusters

    found = find_clusters(out, top=top, members=members, pairs=pairs, seed=seed)
    if html is not None:
        from pipeline.report.page import write_clusters_page

        write_clusters_page(html, out, found)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
    else:
        print_clusters(found, _out, diffs)
