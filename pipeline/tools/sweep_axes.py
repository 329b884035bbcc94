"""What `tokenmill sweep` can move: a limit of a quality rule in step 2, or what `language_id` keeps in step 1.

filter.gopher_quality.min_words=30,50        filter[1].min_words, filter."mine.MyStage".max_links
filter.gopher_quality.languages.de.min_words=30,50
extract.language_id.min_score=0.5,0.65,0.8   extract.language_id.min_scores.de=0.5,0.8
extract.language_id.keep=[en],[en,de],null
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.config import read_config
from pipeline.contract.errors import ConfigError, nearest
from pipeline.contract.keys import apply_overrides, item_of, split_assignment
from pipeline.contract.run import RunRecord
from pipeline.contract.yaml_text import parse_yaml
from pipeline.document import QualityStage
from pipeline.stages import name_of
from pipeline.stages.language_id import LanguageId
from pipeline.stages.support.limits import limit_of

_EXAMPLE = "example: --set filter.gopher_quality.min_words=30,50,80"
_LANGUAGE = name_of(LanguageId)
_LANGUAGE_KEYS = {"min_score": 1, "min_scores": 2, "keep": 1}
"""What can be swept of it, and of how many parts the key is."""
NamedStages = Sequence[tuple[str, Any]]
Signals = Mapping[str, Mapping[str, float]]


class Stages(NamedTuple):
    """The stages of a config that can be judged again, by name."""

    extract: NamedStages
    """Empty where no language limit is swept."""
    filter: NamedStages

    @property
    def rules(self) -> dict[str, QualityStage]:
        """The stages of step 2 that stored raw values."""
        return {name: stage for name, stage in self.filter if isinstance(stage, QualityStage)}

    @property
    def language(self) -> LanguageId | None:
        """What tells languages."""
        return next((stage for _, stage in self.extract if isinstance(stage, LanguageId)), None)


class Row(NamedTuple):
    """A document whose verdict is known anew: of step 2, or dropped by `language_id` before."""

    part: str
    id: str
    url: str
    language: str
    score: float
    """Of the language; 0 where no language limit is swept."""
    signals: Signals
    kept: bool
    tokens: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RuleAxis:
    """A limit of a quality stage."""

    key: str
    values: tuple[str, ...]
    stage: str
    limit: str
    signal: str
    language: str
    """Whose limit it is; empty: the limit of all languages that have none of their own."""

    def value_in(self, stages: Stages) -> Any:
        """Its value in these stages."""
        return limit_of(stages.rules[self.stage], self.limit, self.language)

    @property
    def label(self) -> str:
        """What it looks at."""
        return f"{self.stage}.{self.signal}"

    def value(self, row: Row) -> float:
        """What it looks at, of a document."""
        return row.signals[self.stage][self.signal]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LanguageAxis:
    """What `language_id` keeps."""

    key: str
    values: tuple[str, ...]
    field: str
    language: str
    """Of a score for one language; else empty."""

    def value_in(self, stages: Stages) -> Any:
        """Its value in these stages."""
        stage = stages.language
        assert stage
        if self.language:
            return stage.min_scores.get(self.language, stage.min_score)
        value = getattr(stage, self.field)
        return list(value) if isinstance(value, tuple) else value

    @property
    def label(self) -> str:
        """What it looks at."""
        return f"{_LANGUAGE}.language_score"

    def value(self, row: Row) -> float:
        """What it looks at, of a document."""
        return row.score


Axis = RuleAxis | LanguageAxis


def stages_of(record: RunRecord, point: Mapping[str, str], place: str, *, extract: bool) -> Stages:
    """The stages under the limits of a point; those of step 1 only if asked for."""
    sections = ("filter", "extract") if extract else ("filter",)
    located = record.located()  # files that the config names, wherever this is run from
    tree = {**{name: located[name] for name in sections},
            "run": {"stages_path": record.config["run"].get("stages_path")}}  # fmt: skip
    config = read_config(apply_overrides(tree, [f"{key}={value}" for key, value in point.items()]), place)
    return Stages(*([(name_of(type(stage)), stage) for stage in stages] for stages in (config.extract, config.filter)))


def parse_axis(argument: str, record: RunRecord) -> Axis:
    """The axis that `KEY=VALUE,VALUE,...` names, in the stages of a run.

    Raises:
        ConfigError: it names no limit whose measured value the run has stored.
    """
    try:
        parts, raw = split_assignment(argument)
    except ValueError:
        parts, raw = [], ""
    if not raw.strip():
        raise ConfigError(f"--set {argument}", "expected KEY=VALUE,VALUE,...", hint=_EXAMPLE)
    key = argument[: -len(raw) - 1].strip()
    if parts[0] == "filter":
        return _rule(key, parts[1:], _numbers(raw), stages_of(record, {}, "run.json", extract=False))
    if parts[0] == "extract":
        return _language(key, parts[1:], raw, stages_of(record, {}, "run.json", extract=True))
    raise ConfigError(f"--set {key}", "only limits of the stages under `filter`, and of `extract.language_id`, can be "
                      "swept", hint=_EXAMPLE)  # fmt: skip


def _rule(key: str, parts: Sequence[str], values: tuple[str, ...], stages: Stages) -> RuleAxis:
    name, rest = _stage_named(parts, stages.filter)
    if name not in stages.rules:
        problem = f"the run has no stage '{name}' that stored raw values"
        raise ConfigError(f"--set {key}", problem, known=sorted(stages.rules), hint=nearest(name, stages.rules))
    rules = {rule.limit: rule.signal for rule in getattr(stages.rules[name], "RULES", ())}
    for_language = rest[0] == "languages" and len(rest) == 3
    limit = rest[-1] if for_language or len(rest) == 1 else ".".join(rest)
    if limit not in rules:
        problem = f"'{limit}' is no limit of '{name}' that follows from a stored value"
        raise ConfigError(f"--set {key}", problem, known=sorted(rules), hint=nearest(limit, rules))
    return RuleAxis(
        key=key, values=values, stage=name, limit=limit, signal=rules[limit], language=rest[1] if for_language else ""
    )


def _language(key: str, parts: Sequence[str], raw: str, stages: Stages) -> LanguageAxis:
    name, rest = _stage_named(parts, stages.extract)
    if name != _LANGUAGE or stages.language is None:
        problem = f"the run has no stage '{name}' in step 1 that stored a value ({_LANGUAGE} does)"
        known = [_LANGUAGE] if stages.language else []
        raise ConfigError(f"--set {key}", problem, known=known, hint=nearest(name, known))
    if sum(isinstance(stage, LanguageId) for _, stage in stages.extract) > 1:
        problem = f"step 1 has {_LANGUAGE} twice, and the score of the last alone is stored: neither can be swept"
        raise ConfigError(f"--set {key}", problem)
    field, language = rest[0], rest[1] if len(rest) > 1 else ""
    if len(rest) != _LANGUAGE_KEYS.get(field, 0):
        problem = f"'{'.'.join(rest)}' of {_LANGUAGE} cannot be swept"
        known = [name if length == 1 else f"{name}.LANGUAGE" for name, length in _LANGUAGE_KEYS.items()]
        raise ConfigError(f"--set {key}", problem, known=known, hint=nearest(field, known))
    values = _lists(key, raw) if field == "keep" else _numbers(raw)
    return LanguageAxis(key=key, values=values, field=field, language=language)


def _stage_named(parts: Sequence[str], stages: NamedStages) -> tuple[str, Sequence[str]]:
    """The name of the stage that a key leads to, and the rest of the key; what it has there, if it leads to none."""
    names = [name for name, _ in stages]
    rest: Sequence[str] = ()
    name = parts[0] if parts else ""
    try:
        index, length = item_of(names, parts)
        name, rest = names[index], parts[length:]
    except LookupError:
        rest = parts[1:]
    return name, rest or [""]


def _numbers(raw: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in raw.strip().strip("[]").split(","))


def _lists(key: str, raw: str) -> tuple[str, ...]:
    """Lists of languages, as in `[en],[en,de],null`."""
    values = parse_yaml(f"[{raw}]", f"--set {key}={raw}")
    if not all(value is None or isinstance(value, list) for value in values):
        raise ConfigError(
            f"--set {key}={raw}", "expected lists of languages", hint=f"example: --set '{key}=[en],[en,de]'"
        )
    return tuple(json.dumps(value) for value in values)
