"""The documentation site: whole, linked, and the same on every machine with this Python."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import stdlib_docs
from stdlib_members import class_members, notes, signature
from web_page import DOCS_HOST, Page


@pytest.fixture(scope="module")
def site() -> dict[str, Page]:
    made = list(stdlib_docs.pages())
    assert len(made) == len({page.path for page in made})
    return {page.path: page for page in made}


def test_every_link_leads_to_a_page_and_every_page_is_linked(site):
    links = {path: set(re.findall(r'href="([^"]+)"', page.body.decode())) for path, page in site.items()}
    assert set().union(*links.values()) == set(site)
    assert {page.host for page in site.values()} == {DOCS_HOST}


def test_there_is_enough_to_read(site):
    assert len(site) > 400
    assert sum(len(page.body) for page in site.values()) > 2_500_000


def test_a_module_is_told_with_its_members(site):
    text = site["/library/textwrap.html"].body.decode()
    assert "<title>textwrap: Text wrapping and filling</title>" in text
    assert "<code>TextWrapper.fill(text)</code>: " in text
    assert "<code>dedent(text)</code>: Remove any common leading whitespace from every line in `text`.</p>" in text
    assert "_wrap_chunks(" not in re.sub(r"<p>.*?</p>", "", text, flags=re.DOTALL)


def test_modules_with_side_effects_are_not_imported(site):
    assert not {"/library/antigravity.html", "/library/this.html", "/library/test.html"} & set(site)
    assert "antigravity" not in sys.modules


def test_nothing_of_this_machine_is_in_the_pages(site, monkeypatch):
    everything = b"\n".join(page.body for page in site.values())
    assert not re.search(rb" at 0x[0-9a-f]{4,}", everything)
    for private in (sys.base_prefix, str(Path.cwd()), os.environ["PATH"]):
        assert private == "/usr" or private.encode() not in everything


def test_two_processes_make_the_same_pages():
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); import stdlib_docs;"
        "print(hashlib.sha256(b''.join(page.body for page in stdlib_docs.pages())).hexdigest())"
    )
    demo = str(Path(stdlib_docs.__file__).parent)
    command = [sys.executable, "-c", code, demo]
    digests = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed, "X": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1]


class Sample:
    """Members of every kind."""

    def method(self, a, *, b: int = 1, env=os.environ, key=len):
        """A method."""

    @classmethod
    def make(cls, x=None): ...

    @property
    def size(self): ...

    def __eq__(self, other):
        return True

    def _private(self): ...


def test_signatures_show_no_self_no_annotation_and_no_value_of_this_machine():
    found = {name: signature(name, value) for name, value in class_members(Sample)}
    assert found == {
        "__eq__": "__eq__(other)",
        "make": "make(x=None)",
        "method": "method(a, *, b=1, env=..., key=len)",
        "size": "size",
    }


def test_notes_are_long_comments_that_are_no_licence(tmp_path):
    import types

    module = types.ModuleType("sample")
    module.__file__ = str(tmp_path / "sample.py")
    told = (
        "# This explains at some length how the thing below works\n# and why it was built in this way and no other.\n"
    )
    licence = (
        "# Copyright somebody or other, all of the rights reserved,\n# and a licence that goes on for many lines.\n"
    )
    (tmp_path / "sample.py").write_text(f"{licence}\nx = 1\n    {told.replace('# and', '    # and')}\n# short\n")
    assert notes(module) == [re.sub("(?m)^# ", "", told).strip()]
