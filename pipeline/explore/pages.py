"""The pages: a path and its parameters become values for a template. No parameter names a file."""

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.explore import cluster, overview
from pipeline.explore.conditions import Condition, Equal, Holds, InDomain, parse
from pipeline.explore.detail import LAST_ROW, SHOWN_TEXT, one
from pipeline.explore.folder import TABLES, Folder
from pipeline.explore.queries import DEEPEST, PAGE, Found, Ranking, Table, count_values, in_order, ranked, search
from pipeline.explore.request import Asked, PageError
from pipeline.explore.scan import BATCH, Budget, Part
from pipeline.explore.texts import excerpts

Page = tuple[str, dict[str, Any]]
"""Template and its values."""
Handler = Callable[[Folder, Asked], Page]
_BUDGET = Budget()
_TEXTS = Budget(rows=200_000, seconds=2.0)
_TEXT_BATCH = 500
SEEDS = 1_000_000
WAYS = ("url", "domain", "id", "words")


def home(folder: Folder, asked: Asked) -> Page:
    """Totals and the flow of documents."""
    asked.only()
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


def documents(folder: Folder, asked: Asked) -> Page:
    """Kept documents, filtered, sorted or sampled."""
    asked.only("language", "domain", "words", "signals", "order", "sort", "seed", "from", "skip")
    known = folder.numbers()
    conditions: list[Condition] = list(parse(asked.text("signals"), known))
    conditions += [Equal("language", asked.text("language"))] if asked.text("language") else []
    conditions += [InDomain(asked.text("domain"))] if asked.text("domain") else []
    conditions += [Holds(asked.text("words"))] if asked.text("words") else []
    order = asked.choice("order", ("stored", "sample", "ascending", "descending"), "stored")
    sort = asked.choice("sort", known, known[0] if known else "")
    found = _ordered(folder, asked, "documents", conditions, order, sort)
    texts = excerpts(folder, "documents", [(hit.part, hit.row) for hit in found.hits])
    return "documents.html.j2", {"found": found, "texts": texts, "asked": asked, "numbers": known, "order": order,
                                 "sort": sort, "next": _next(asked, found, order), "page": PAGE}  # fmt: skip


def dropped(folder: Folder, asked: Asked) -> Page:
    """Dropped documents, those nearest to their limit first."""
    asked.only("step", "stage", "reason", "domain", "order", "seed", "from", "skip")
    known = folder.reasons()
    conditions: list[Condition] = []
    for number, name in enumerate(("step", "stage", "reason")):
        values = list(dict.fromkeys(split[number] for split in known))
        value = asked.choice(name, values, "") if values else asked.text(name)
        conditions += [Equal(name, value)] if value else []
    conditions += [InDomain(asked.text("domain"))] if asked.text("domain") else []
    order = asked.choice("order", ("nearest", "stored", "sample"), "nearest")
    found = _ordered(folder, asked, "dropped", conditions, order, "")
    return "dropped.html.j2", {"found": found, "asked": asked, "known": known, "order": order,
                               "next": _next(asked, found, order), "page": PAGE}  # fmt: skip


def quarantine(folder: Folder, asked: Asked) -> Page:
    """Pages that were given up, by cause."""
    asked.only("cause", "from")
    parts = list(folder.parts("quarantine").values())
    causes, looked = count_values(parts, ("step", "stage", "cause"), Budget(seconds=0.5))
    conditions: list[Condition] = [Equal("cause", asked.text("cause"))] if asked.text("cause") else []
    found = in_order("quarantine", parts, conditions, _from(asked), _BUDGET)
    return "quarantine.html.j2", {"causes": causes, "looked": looked, "found": found, "asked": asked,
                                  "total": folder.record().totals.quarantined,
                                  "next": _next(asked, found, "stored")}  # fmt: skip


def document(folder: Folder, asked: Asked) -> Page:
    """One row with everything known of it."""
    asked.only("table", "part", "row", "again")
    table = asked.choice("table", TABLES, "documents")
    shown = one(folder, table, asked.text("part"), asked.number("row", 0, LAST_ROW),
                read_again=asked.choice("again", ("yes",), "") == "yes")  # fmt: skip
    kept = (
        shown.values.get("detail") if table == "dropped" and shown.values.get("step") in ("dedup", "extract") else None
    )
    names = {"exact_duplicate", "near_duplicate", "copy"}
    stays = cluster.kept_document(folder, str(kept)) if kept and shown.values["reason"] in names else None
    return "document.html.j2", {"one": shown, "most": SHOWN_TEXT, "stays": stays}


def members(folder: Folder, asked: Asked) -> Page:
    """The documents that were dropped for one that was kept."""
    asked.only("part", "row")
    part, row = asked.text("part"), asked.number("row", 0, LAST_ROW)
    shown = one(folder, "documents", part, row, read_again=False)
    name = str(shown.values.get("cluster_id") or shown.values["id"])
    return "cluster.html.j2", {"one": shown, "found": cluster.members(folder, name)}


def difference(folder: Folder, asked: Asked) -> Page:
    """A kept document and one that was dropped for it, side by side."""
    asked.only("part", "row", "other", "other_row")
    kept = asked.text("part"), asked.number("row", 0, LAST_ROW)
    other = asked.text("other"), asked.number("other_row", 0, LAST_ROW)
    return "diff.html.j2", {"pair": cluster.side_by_side(folder, kept, other), "kept": kept, "other": other}


def find(folder: Folder, asked: Asked) -> Page:
    """Search by address, domain, id, or words of the text."""
    asked.only("by", "for")
    way, wanted = asked.choice("by", WAYS, "url"), asked.text("for")
    found: dict[str, Found] = {}
    if wanted:
        condition: Condition = {"url": Equal("url", wanted), "domain": InDomain(wanted), "id": Equal("id", wanted),
                                "words": Holds(wanted)}[way]  # type: ignore[assignment]  # fmt: skip
        if way == "words":
            found = search(_tables(folder, "documents", "dropped"), [condition], _TEXTS, batch=_TEXT_BATCH)
        else:
            found = search(_tables(folder, *TABLES), [condition], Budget(rows=5_000_000, seconds=2.0), batch=BATCH)
    return "search.html.j2", {"asked": asked, "way": way, "wanted": wanted, "found": found, "ways": WAYS, "page": PAGE}


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


def _ordered(folder: Folder, asked: Asked, table: Table, conditions: list[Condition], order: str, sort: str) -> Found:
    parts = list(folder.parts(table).values())
    step = asked.text("step")
    if table == "dropped" and step:
        parts = [part for part in parts if part.name.startswith(f"{step}-")]
    if order == "stored":
        return in_order(table, parts, conditions, _from(asked), _BUDGET)
    if order in ("ascending", "descending") and not sort:
        raise PageError(400, "sort: this run has nothing to sort by")
    ranking = Ranking(order, sort if table == "documents" and order != "sample" else "",  # type: ignore[arg-type]
                      asked.number("seed", 0, SEEDS))  # fmt: skip
    return ranked(table, parts, conditions, ranking, asked.number("skip", 0, DEEPEST), _BUDGET)


def _tables(folder: Folder, *names: str) -> list[tuple[Table, list[Part]]]:
    return [(name, list(folder.parts(name).values())) for name in names]  # type: ignore[misc]


def _from(asked: Asked) -> tuple[str, int]:
    part, _, row = asked.text("from").partition(":")
    return part, Asked({"from": row}).number("from", 0, LAST_ROW)


def _next(asked: Asked, found: Found, order: str) -> str | None:
    """The parameters of the next page."""
    if found.next is None:
        return None
    name = "from" if order == "stored" else "skip"
    return urllib.parse.urlencode({**asked.values, name: found.next})
