"""Whether the rules of a config are made for the languages that it keeps.

Each stage says itself for which languages its defaults are made (`MadeForLanguages`); this asks them all, for every
language that goes on, before a build begins.
"""

from collections.abc import Iterator, Sequence

from pipeline.document import MadeForLanguages, Stage
from pipeline.stages import name_of
from pipeline.stages.language_id import LanguageId
from pipeline.stages.language_prefilter import LanguagePrefilter

MULTILINGUAL = "configs/pipeline/fineweb2-multilingual.yaml"
_MAX_SHOWN = 12


def language_warnings(extract: Sequence[Stage], filter: Sequence[Stage]) -> list[str]:
    """One line for each matter that a newcomer would look for among the dropped pages; empty if there is none.

    Args:
        extract: stages of step 1.
        filter: stages of step 2.
    """
    found = next((stage for stage in extract if isinstance(stage, LanguageId)), None)
    prefilter = next((stage for stage in extract if isinstance(stage, LanguagePrefilter)), None)
    telling = found or prefilter
    if telling is None:  # nothing in the config knows of languages
        return []
    lines = list(_hidden_by_prefilter(prefilter, found)) if prefilter and found else []
    for section, stages in (("extract", extract), ("filter", filter)):
        for stage in stages:
            lines += _unsuited(f"{section}.{name_of(type(stage))}", stage, telling.keep)
    return lines


def _hidden_by_prefilter(prefilter: LanguagePrefilter, found: LanguageId) -> Iterator[str]:
    """Languages whose pages are dropped before `language_id`, which would keep them, sees them."""
    if prefilter.keep is None:
        return
    hidden = [language for language in found.keep or () if language not in prefilter.keep]
    if hidden or found.keep is None:
        others = _listed(hidden) if hidden else "all other languages"
        yield (f"extract.language_prefilter.keep: has {_listed(prefilter.keep)} alone, so it drops pages in {others}, "
               "which language_id.keep would keep; name the same languages in both")  # fmt: skip


def _unsuited(place: str, stage: Stage, kept: Sequence[str] | None) -> Iterator[str]:
    """A line for each set of defaults of a stage that hold for languages they are not made for."""
    if not isinstance(stage, MadeForLanguages):
        return
    groups: dict[tuple[str, ...], list[str]] = {}
    for language in ("",) if kept is None else kept:
        names = stage.unsuited(language)
        if names:
            groups.setdefault(names, []).append(language)
    for names, languages in groups.items():
        which = "any language" if languages == [""] else _listed(languages)
        yield (f"{place}: {_listed(names, 4)} {'are' if len(names) > 1 else 'is'} made for {_listed(stage.MADE_FOR)}, "
               f"and the run keeps {which}, whose pages may be dropped for it; set {_made_for(stage, names)}: see "
               f"{MULTILINGUAL}")  # fmt: skip


def _made_for(stage: MadeForLanguages, names: Sequence[str]) -> str:
    """The fields of a stage where these of its fields are set for single languages."""
    own = [f"{name}_by_language" for name in names if hasattr(stage, f"{name}_by_language")]
    return " and ".join(f"`{name}`" for name in (["languages"] if len(own) < len(names) else []) + own)


def _listed(names: Sequence[str], max_shown: int = _MAX_SHOWN) -> str:
    more = len(names) - max_shown
    return ", ".join(names[:max_shown]) + (f" and {more} more" if more > 0 else "")
