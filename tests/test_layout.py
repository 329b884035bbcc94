"""The layout keeps its word: tests mirror the sources, and nothing grows past what one can take in."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path
    for package in ("pipeline", "training")
    for path in (REPOSITORY / package).rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)
MAX_LINES = 410
MAX_FUNCTION_LINES = 60


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


def has_logic(path: Path) -> bool:
    """Whether a module has a function that does anything: those of a Protocol are docstrings alone."""
    functions = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    return any(len(node.body) > 1 or not isinstance(node.body[0], ast.Expr) for node in functions)


def imports(test: Path) -> set[str]:
    """Modules that a test imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(test.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


@pytest.mark.parametrize("path", [path for path in MODULES if has_logic(path)], ids=dotted)
def test_every_module_has_its_test_where_one_looks_for_it(path):
    folder = REPOSITORY / "tests" / path.parent.relative_to(REPOSITORY)
    if (folder / f"test_{path.stem}.py").is_file():
        return
    package = sorted(folder.glob("test_*.py")) + sorted(folder.glob("conftest.py"))
    assert any(dotted(path) in imports(test) for test in package), f"no test in {folder} is of {dotted(path)}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_files_and_functions_stay_small(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = [node.name for node in functions if body_lines(node) > MAX_FUNCTION_LINES]
    assert long == []


def body_lines(node: ast.FunctionDef) -> int:
    """Lines of a function, its docstring aside."""
    first = node.body[1] if len(node.body) > 1 and ast.get_docstring(node) else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1
