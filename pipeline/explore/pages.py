"""The pages: a path and its parameters become values for a template. No parameter names a file."""

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.explore import cluster, overview
from pipeline.explore.conditions import Condition, Equal, Holds, InDomain, parse
from pipeline.explore.detail import LAST_ROW, SHOWN_TEXT, row_detail
from pipeline.explore.folder import TABLES, Folder
from pipeline.explore.queries import DEEPEST, PAGE, Ranking, SearchResult, Table, count_values, in_order, ranked, search
from pipeline.explore.request import PageError, RequestParameters
from pipeline.explore.scan import BATCH, Budget, Part
from pipeline.explore.texts import excerpts

Page = tuple[str, dict[str, Any]]
"""Template and its values."""
Handler = Callable[[Folder, RequestParameters], Page]
_BUDGET = Budget()
_TEXTS = Budget(rows=200_000, seconds=2.0)
_TEXT_BATCH = 500
SEEDS = 1_000_000
WAYS = ("url", "domain", "id", "words")


def home(folder: Folder, params: RequestParameters) -> Page:
    """Totals and the flow of documents."""
    params.only()
    record = folder.record()
    done = record.state == "done"
    quarantined, exact = overview.quarantined_by_step(folder, record.totals.quarantined)
    reasons = [(*split, count) for split, count in folder.counted_reasons()]
    return "overview.html.j2", {
        "record": record, "totals": record.totals, "done": done, "exact": exact, "reasons": reasons,
        "dropped": sum(record.totals.dropped.values()),
        "flow": overview.flow(record, quarantined) if done else [],
        "committed": () if done else overview.committed(folder, record),
    }  # fmt: skip


def documents(folder: Folder, params: RequestParameters) -> Page:
    """Kept documents, filtered, sorted or sampled."""
    params.only("language", "domain", "words", "signals", "order", "sort", "seed", "from", "skip")
    known = folder.numbers()
    conditions: list[Condition] = list(parse(params.text("signals"), known))
    conditions += [Equal("language", params.text("language"))] if params.text("language") else []
    conditions += [InDomain(params.text("domain"))] if params.text("domain") else []
    conditions += [Holds(params.text("words"))] if params.text("words") else []
    order = params.choice("order", ("stored", "sample", "ascending", "descending"), "stored")
    sort = params.choice("sort", known, known[0] if known else "")
    found = _ordered(folder, params, "documents", conditions, order, sort)
    texts = excerpts(folder, "documents", [(hit.part, hit.row) for hit in found.hits])
    return "documents.html.j2", {"found": found, "texts": texts, "params": params, "numbers": known, "order": order,
                                 "sort": sort, "next": _next(params, found, order), "page": PAGE}  # fmt: skip


def dropped(folder: Folder, params: RequestParameters) -> Page:
    """Dropped documents, those nearest to their limit first."""
    params.only("step", "stage", "reason", "domain", "order", "seed", "from", "skip")
    known = folder.reasons()
    conditions: list[Condition] = []
    for number, name in enumerate(("step", "stage", "reason")):
        values = list(dict.fromkeys(split[number] for split in known))
        value = params.choice(name, values, "") if values else params.text(name)
        conditions += [Equal(name, value)] if value else []
    conditions += [InDomain(params.text("domain"))] if params.text("domain") else []
    order = params.choice("order", ("nearest", "stored", "sample"), "nearest")
    found = _ordered(folder, params, "dropped", conditions, order, "")
    return "dropped.html.j2", {"found": found, "params": params, "known": known, "order": order,
                               "next": _next(params, found, order), "page": PAGE}  # fmt: skip


def quarantine(folder: Folder, params: RequestParameters) -> Page:
    """Pages that were given up, by cause."""
    params.only("cause", "from")
    parts = list(folder.parts("quarantine").values())
    causes, coverage = count_values(parts, ("step", "stage", "cause"), Budget(seconds=0.5))
    conditions: list[Condition] = [Equal("cause", params.text("cause"))] if params.text("cause") else []
    found = in_order("quarantine", parts, conditions, _from(params), _BUDGET)
    return "quarantine.html.j2", {"causes": causes, "coverage": coverage, "found": found, "params": params,
                                  "total": folder.record().totals.quarantined,
                                  "next": _next(params, found, "stored")}  # fmt: skip


def document(folder: Folder, params: RequestParameters) -> Page:
    """One row with everything known of it."""
    params.only("table", "part", "row", "again")
    table = params.choice("table", TABLES, "documents")
    with_rerun = params.choice("again", ("yes",), "") == "yes"
    shown = row_detail(folder, table, params.text("part"), params.number("row", 0, LAST_ROW), with_rerun=with_rerun)
    kept = (
        shown.values.get("detail") if table == "dropped" and shown.values.get("step") in ("dedup", "extract") else None
    )
    names = {"exact_duplicate", "near_duplicate", "copy"}
    stays = cluster.kept_document(folder, str(kept)) if kept and shown.values["reason"] in names else None
    return "document.html.j2", {"detail": shown, "most": SHOWN_TEXT, "stays": stays}


def members(folder: Folder, params: RequestParameters) -> Page:
    """The documents that were dropped for one that was kept."""
    params.only("part", "row")
    part, row = params.text("part"), params.number("row", 0, LAST_ROW)
    shown = row_detail(folder, "documents", part, row, with_rerun=False)
    name = str(shown.values.get("cluster_id") or shown.values["id"])
    return "cluster.html.j2", {"detail": shown, "found": cluster.members(folder, name)}


def difference(folder: Folder, params: RequestParameters) -> Page:
    """A kept document and one that was dropped for it, side by side."""
    params.only("part", "row", "other", "other_row")
    kept = params.text("part"), params.number("row", 0, LAST_ROW)
    other = params.text("other"), params.number("other_row", 0, LAST_ROW)
    return "diff.html.j2", {"pair": cluster.side_by_side(folder, kept, other), "kept": kept, "other": other}


def find(folder: Folder, params: RequestParameters) -> Page:
    """Search by address, domain, id, or words of the text."""
    params.only("by", "for")
    way, wanted = params.choice("by", WAYS, "url"), params.text("for")
    found: dict[str, SearchResult] = {}
    if wanted:
        condition: Condition = {"url": Equal("url", wanted), "domain": InDomain(wanted), "id": Equal("id", wanted),
                                "words": Holds(wanted)}[way]  # type: ignore[assignment]  # fmt: skip
        if way == "words":
            found = search(_tables(folder, "documents", "dropped"), [condition], _TEXTS, batch=_TEXT_BATCH)
        else:
            found = search(_tables(folder, *TABLES), [condition], Budget(rows=5_000_000, seconds=2.0), batch=BATCH)
    return "search.html.j2", {"params": params, "way": way, "wanted": wanted, "found": found,
                              "ways": WAYS, "page": PAGE}  # fmt: skip


PAGES: Mapping[str, Handler] = {
    "/": home,
    "/documents": documents,
    "/dropped": dropped,
    "/quarantine": quarantine,
    "/document": document,
    "/cluster": members,
    "/diff": difference,
    "/search": find,
}


def link(path: str, **values: Any) -> str:
    """An address of this server; values that are empty are left out."""
    given = {name: value for name, value in values.items() if value not in ("", None)}
    query = urllib.parse.urlencode(given, errors="replace")
    return f"{path}?{query}" if query else path


def _ordered(
    folder: Folder, params: RequestParameters, table: Table, conditions: list[Condition], order: str, sort: str
) -> SearchResult:
    parts = list(folder.parts(table).values())
    step = params.text("step")
    if table == "dropped" and step:
        parts = [part for part in parts if part.name.startswith(f"{step}-")]
    if order == "stored":
        return in_order(table, parts, conditions, _from(params), _BUDGET)
    if order in ("ascending", "descending") and not sort:
        raise PageError(400, "sort: this run has nothing to sort by")
    ranking = Ranking(order, sort if table == "documents" and order != "sample" else "",  # type: ignore[arg-type]
                      params.number("seed", 0, SEEDS))  # fmt: skip
    return ranked(table, parts, conditions, ranking, params.number("skip", 0, DEEPEST), _BUDGET)


def _tables(folder: Folder, *names: str) -> list[tuple[Table, list[Part]]]:
    return [(name, list(folder.parts(name).values())) for name in names]  # type: ignore[misc]


def _from(params: RequestParameters) -> tuple[str, int]:
    part, _, row = params.text("from").partition(":")
    return part, RequestParameters({"from": row}).number("from", 0, LAST_ROW)


def _next(params: RequestParameters, found: SearchResult, order: str) -> str | None:
    """The parameters of the next page."""
    if found.next is None:
        return None
    name = "from" if order == "stored" else "skip"
    return urllib.parse.urlencode({**params.values, name: found.next})
