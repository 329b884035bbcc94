"""The pages people look at."""

from pathlib import Path

from pipeline.contract.run import RunRecord


def write_report(out: Path, record: RunRecord) -> Path:
    """Write OUT/report.html, one file that needs no network, and return its path."""
    from pipeline.report.page import render

    return render(out, record)
