"""What counts as the code of a stage of the user's own."""

import importlib
import importlib.metadata
import sys

import pytest

from pipeline.stages.support.user_stages import sources, user_stage_names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on the path, whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_module_and_what_it_imports_from_beside_it(folder):
    write(folder, {"one_x.py": "import two_x, json\nimport pipeline.document\n", "pipeline/theirs.py": "",
                   "two_x.py": "def f():\n    import three_x\n", "three_x.py": "", "four_x.py": ""})  # fmt: skip
    assert set(sources("one_x.Stage")) == {"one_x.py", "two_x.py", "three_x.py"}


def test_files_beside_a_module_that_it_names_and_modules_elsewhere_on_the_path(folder, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.syspath_prepend(str(other))
    write(other, {"help_x.py": "import regex\n"})
    write(folder, {"data_x.py": 'import help_x\nopen(__file__.replace("data_x.py", "words_x.txt"))\n',
                   "words_x.txt": "a", "unnamed_x.txt": "b"})  # fmt: skip
    found = sources("data_x.Stage")
    assert set(found) == {"data_x.py", "words_x.txt", "help_x.py", "version of regex"}
    assert found["version of regex"] == importlib.metadata.version("regex")


def test_a_package_with_all_its_files_and_its_neighbours(folder):
    write(folder, {"pack_x/__init__.py": "", "pack_x/sub/__init__.py": "", "pack_x/sub/stage.py": "import near_x",
                   "pack_x/words.txt": "a", "pack_x/.hidden": "", "pack_x/__pycache__/a.pyc": ""})  # fmt: skip
    write(folder, {"near_x/__init__.py": "y = 1", "near_x/z.py": "", "far_x.py": ""})
    found = sources("pack_x.sub.stage.Stage")
    assert set(found) == {"pack_x/__init__.py", "pack_x/sub/__init__.py", "pack_x/sub/stage.py", "pack_x/words.txt",
                          "near_x/__init__.py", "near_x/z.py"}  # fmt: skip
    assert sources("pack_x.Stage") == found
    write(folder, {"pack_x/words.txt": "b"})
    assert {name for name, sha in sources("pack_x.Stage").items() if sha != found[name]} == {"pack_x/words.txt"}


def test_of_an_installed_package_the_version_too():
    found = sources("regex.Stage")
    assert found["version of regex"] == importlib.metadata.version("regex")
    assert "regex/__init__.py" in found


def test_of_datatrove_the_version_of_the_run_is_enough():
    assert sources("datatrove.pipeline.filters.GopherQualityFilter") == {}


def test_names_are_those_of_stages_and_of_what_datatrove_items_wrap():
    tree = {
        "extract": [{"main_text": {"engine": "a.b"}}, {"my.Stage": {"x": [{"not.One": {}}]}}],
        "filter": [{"datatrove": {"class": "own.blocks.Block", "args": {"a.b": 1}}}],
        "tokenize": {"stages": [{"other.Stage": {}}]},
    }
    assert set(user_stage_names(tree)) == {"my.Stage", "own.blocks.Block", "other.Stage"}
