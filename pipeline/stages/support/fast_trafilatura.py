"""trafilatura with fixed options, giving the same text at about half the time.

Nothing of its logic is replaced. Two costs around it are taken away once in a process: lxml asks a Python function
which class each element has, and libxml2 runs the long class and id filters element by element (`compiled_xpath.py`
says how they become functions). Both act on trafilatura's own objects, so any other caller in the process gets the same
results faster too. `test_fast_trafilatura.py` compares the texts with those of an untouched trafilatura in another
process.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, Literal

from pipeline.stages.support.compiled_xpath import UnsupportedPathError, compile_path

Focus = Literal["precision", "balanced", "recall"]


def extract(page: str, *, focus: Focus, comments: bool, tables: bool) -> str | None:
    """What `trafilatura.extract` returns for these options, metadata off and deduplication off."""
    text: str | None = _library()(page, options=_options(focus, comments, tables))
    return text


@functools.cache
def _library() -> Callable[..., Any]:
    import trafilatura
    from trafilatura import utils, xpaths

    logger = logging.getLogger("trafilatura")
    if logger.level == logging.NOTSET:  # it warns about every page without text, which we count instead
        logger.setLevel(logging.CRITICAL)
    _choose_classes_in_c(utils.HTML_PARSER)
    for expressions in vars(xpaths).values():
        if isinstance(expressions, list):
            expressions[:] = [_compiled(expression) for expression in expressions]
    extract: Callable[..., Any] = trafilatura.extract
    return extract


@functools.cache
def _options(focus: Focus, comments: bool, tables: bool) -> Any:
    """trafilatura's options object; building it reads a config file's worth of settings, so it is kept."""
    from trafilatura.settings import Extractor

    return Extractor(
        precision=focus == "precision", recall=focus == "recall", comments=comments, tables=tables, dedup=False
    )


def _choose_classes_in_c(parser: Any) -> None:
    """Every element an HtmlElement: the special classes of forms and labels, which trafilatura never uses, are lost."""
    from lxml import etree  # type: ignore[import-untyped]
    from lxml.html import (  # type: ignore[import-untyped]
        HtmlComment,
        HtmlElement,
        HtmlEntity,
        HtmlProcessingInstruction,
    )

    classes = {"element": HtmlElement, "comment": HtmlComment, "pi": HtmlProcessingInstruction, "entity": HtmlEntity}
    parser.set_element_class_lookup(etree.ElementDefaultClassLookup(**classes))


def _compiled(expression: Any) -> Any:
    """The expression as a function, or itself where it is more than a filter over attributes."""
    path = getattr(expression, "path", None)
    if path is None:
        return expression
    try:
        return compile_path(path)
    except UnsupportedPathError:
        return expression
