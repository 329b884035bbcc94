"""Renders OUT/report.html: everything inline, everything that came from a page escaped."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pipeline.contract.run import RunRecord
from pipeline.report.cluster_listing import host_list, precision_lines
from pipeline.report.clusters import Clusters
from pipeline.report.collect import ReportData, cluster_sizes, collect
from pipeline.report.printable import printable
from pipeline.storage.files import write_atomic

_TEMPLATE = "report.html.j2"


def render(out: Path, record: RunRecord) -> Path:
    """Write the report of a run and return its path."""
    path = out / "report.html"
    write_atomic(path, page(collect(out, record)).encode("utf-8", "replace"))
    return path


def page(data: ReportData) -> str:
    """The page as HTML."""
    config = json.loads(json.dumps(data.record.config))
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    dropped = sum(data.record.totals.dropped.values())
    values = {"data": data, "record": data.record, "totals": data.record.totals, "config": text, "dropped": dropped}
    return _environment().get_template(_TEMPLATE).render(values)


def write_clusters_page(path: Path, out: Path, found: Clusters) -> None:
    """Write a page of the clusters of the run folder `out`, one file that needs no network."""
    text = _environment().get_template("clusters.html.j2").render(found=found, out=out.name)
    write_atomic(path, text.encode("utf-8", "replace"))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report", ""), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(FILTERS)
    return environment


def _number(value: float) -> str:
    return f"{value:,}"


def _share(part: float, whole: float) -> str:
    """`12.9%`, with as many digits as small shares need."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1f}%" if share >= 1 or share == 0 else f"{share:.2g}%"


def _measured(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "number": _number, "share": _share, "measured": _measured, "printable": printable,
    "precision": precision_lines, "hosts": host_list, "buckets": cluster_sizes,
}  # fmt: skip
"""Of the templates: the report's, and the explorer's, which uses parts of them."""
