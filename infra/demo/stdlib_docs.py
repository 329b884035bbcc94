"""The documentation of the Python standard library as HTML pages, made from the machine's own pydoc.

One page for each module that can be imported, one for each large class, one for the notes in a module's source, one for
each topic of the language reference that pydoc carries, and an index. Python's own HTML writer repeats every inherited
method in every class and lays pages out in tables; here a member stands once, where it is defined, its signature before
its docstring, and docstrings are paragraphs, lists and code.

The pages depend on the Python version alone.
"""

import html
import types
from collections.abc import Iterator

from docstring_html import docstring_html, listing
from stdlib_members import Member, class_members, docstring, load, members, modules, notes, scrub, signature, summary
from web_page import DOCS_HOST, Frame, Page, layout

FRAME = Frame(
    site="The standard library, as pydoc tells it",
    links=[("/", "Index"), ("/library/builtins.html", "Built-ins"), ("/reference/types.html", "Data model")],
)
OWN_PAGE = 6000
"""Characters of HTML from which a class moves to a page of its own."""
NOTES_PAGE = 1000
"""Characters of comments from which they make a page."""


def pages() -> Iterator[Page]:
    """Every page of the documentation, index first, in a fixed order."""
    topics = topic_texts()
    yield index_page(list(modules()), list(topics))
    for name, module in modules().items():
        yield from module_pages(name, module)
    for name, text in topics.items():
        yield page(f"/reference/{name}.html", f"Python language reference: {name}", docstring_html(text))


def topic_texts() -> dict[str, str]:
    """Chapters of the language reference that come with pydoc, by name, sorted; none where it came without them."""
    return dict(sorted(getattr(load("pydoc_data.topics"), "topics", {}).items()))


def index_page(names: list[str], topics: list[str]) -> Page:
    """Links to everything else, so that a crawler finds it."""
    parts = [
        ("Modules", "library", [name for name in names if not name.startswith("_")]),
        ("Implementation", "library", [name for name in names if name.startswith("_")]),
        ("Language", "reference", topics),
    ]
    lists = "".join(f"<h2>{heading}</h2>{links(folder, found)}" for heading, folder, found in parts)
    return page("/", "The Python standard library", lists)


def links(folder: str, names: list[str]) -> str:
    """A list of links to pages of one folder."""
    items = (f'<li><a href="/{folder}/{html.escape(name)}.html">{html.escape(name)}</a></li>' for name in names)
    return f"<ul>{''.join(items)}</ul>"


def module_pages(name: str, module: types.ModuleType) -> Iterator[Page]:
    """The page of one module, then those of its large classes."""
    found = members(module)
    shown: set[str] = set()
    body, extra = [docstring_html(docstring(module))], []
    body += ["<h2>Classes</h2>"] if found.classes else []
    for key, value in found.classes:
        section = class_section(key, value, shown)
        if len(section) >= OWN_PAGE:
            extra.append(page(f"/library/{name}.{key}.html", f"{name}.{key}: {summary(value) or 'a class'}", section))
            section = pointer(name, key)
        body.append(section)
    body += ["<h2>Functions</h2>", *routines(found.routines, shown)] if found.routines else []
    names = [member.name for member in found.others]
    body += [f"<p>The module also defines {listing(names)}.</p>"] if names else []
    children = [child for child in modules() if child.rpartition(".")[0] == name]
    body += ["<h2>Submodules</h2>", links("library", children)] if children else []
    told = notes(module)
    if sum(map(len, told)) >= NOTES_PAGE:
        text = "\n".join(map(docstring_html, told))
        extra.append(page(f"/notes/{name}.html", f"Notes in the source of {name}", text))
        body.append(f'<p>How it works is told in <a href="/notes/{name}.html">the notes in its source</a>.</p>')
    title = summary(module) or "a module of the standard library"
    yield page(f"/library/{name}.html", f"{name}: {title}", "\n".join(body))
    yield from extra


def pointer(module: str, key: str) -> str:
    """What the module's page says of a class that has a page of its own."""
    see = f'<a href="/library/{module}.{key}.html">{module}.{key}</a>'
    return f"<h3>{key}</h3><p>The class {key} is described on its own page, {see}.</p>"


def class_section(key: str, value: object, shown: set[str]) -> str:
    """One class: signature, docstring, then the members it defines itself."""
    own = [Member(f"{key}.{name}", item) for name, item in class_members(value)]
    told = docstring_html(docstring(value), f"class {signature(key, value)}")
    return "\n".join([f"<h3>{html.escape(key)}</h3>", told, *routines(own, shown)])


def routines(found: list[Member], shown: set[str]) -> list[str]:
    """Each routine with its docstring; those with none, or with one the page has `shown`, in one sentence."""
    parts, bare = [], []
    for name, value in found:
        text = docstring(value)
        if not text or text in shown:
            bare.append(name.rpartition(".")[2])
            continue
        shown.add(text)
        parts.append(docstring_html(text, signature(name, value)))
    return [*parts, f"<p>There are also {listing(bare)}.</p>"] if bare else parts


def page(path: str, title: str, main: str) -> Page:
    """One page of the documentation site."""
    return Page(host=DOCS_HOST, path=path, body=scrub(layout(title, main, FRAME)).encode("utf-8", "replace"))
