"""What ran, in words, as a list of facts: task, models, supervision, methods, seeds. The config says all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.config import ANNOTATORS
from burnish.config.base import ON_RECORD
from burnish.report.series import setting
from burnish.report.words import annotator_accuracy, judge_words
from burnish.results import Results


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a description list."""

    name: str
    value: str


def facts(results: Results) -> list[Fact]:
    """Return what ran, read from the config: task, models, supervision, methods, seeds."""
    demonstrations = setting(results, "supervision", "demonstrations")
    seeds = setting(results, "seeds")
    accuracy = annotator_accuracy(results)
    rows = [
        Fact(
            "Task",
            _words(
                setting(results, "task"),
                "kind",
                ("train", "{} training rows"),
                ("train_general", "{} general training rows"),
                ("train_safety", "{} safety training rows"),
                ("test", "{} test prompts"),
                ("test_general", "{} general test prompts"),
                ("test_safety", "{} safety test prompts"),
            ),
        ),
        Fact("Student", _model(setting(results, "models", "strong"))),
        Fact("Supervisor", _model(setting(results, "models", "weak"))),
        Fact("Labels from", _labels(demonstrations)),
        Fact("Annotator", _annotator(setting(results, "supervision", "annotator"))),
        *([Fact("Annotator accuracy", accuracy)] if accuracy else []),
        Fact("Judge of win rates", judge_words(results)),
        Fact("Budget", _budget(setting(results, "budget"))),
        Fact("As the released code does", _compat(setting(results, "compat"))),
        Fact("Methods", "; ".join(_methods(results))),
        Fact("Seeds", ", ".join(str(seed) for seed in seeds) if isinstance(seeds, list) else "not given"),
        Fact(
            "Training",
            _words(
                setting(results, "train"),
                "optimizer",
                ("epochs", "{} epochs"),
                ("batch_size", "{} rows a step"),
                ("learning_rate", "learning rate {}"),
            ),
        ),
    ]
    # A fact that the config does not have is left out.
    return [fact for fact in rows if fact.value]


def _labels(demonstrations: JsonValue) -> str:
    """Say where the labels of half U come from."""
    if isinstance(demonstrations, dict):
        return "demonstrations in a file"
    return "ground truth" if demonstrations == "gold" else "the weak supervisor"


def _words(section: JsonValue, first: str, *numbers: tuple[str, str]) -> str:
    """Describe a section of the config: its `first` field, then each number with its noun."""
    if not isinstance(section, dict):
        return ""
    numbers_in_words = [noun.format(_number(section[key])) for key, noun in numbers if section.get(key) is not None]
    return ", ".join([str(section.get(first, "")), *numbers_in_words])


def _number(value: JsonValue) -> str:
    """Write a number with thousands separators, or a float without trailing zeros."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _model(value: JsonValue) -> str:
    """Describe a model of the config: source, layers, revision."""
    if not isinstance(value, dict):
        return str(value or "")
    layers, revision = value.get("layers"), value.get("revision")
    parts = [str(value.get("source", ""))]
    parts += [f"first {layers} layers"] if layers else []
    return ", ".join(parts + ([f"revision {revision}"] if revision else []))


def _annotator(value: JsonValue) -> str:
    """Describe the annotator of the config, which its settings class does. A kind of another package may be unknown."""
    kind = value.get("kind") if isinstance(value, dict) else None
    settings = ANNOTATORS.get(kind)
    if settings is None:
        return str(kind or "")
    read = settings.model_validate(value, context=ON_RECORD)
    return read.words(lambda model: _model(model.model_dump(mode="json")))


def _budget(value: JsonValue) -> str:
    """Describe an equal budget. The paper's budget is the default and is not mentioned."""
    if not isinstance(value, dict) or value.get("kind") != "equal":
        return ""
    return f"at most {_number(value.get('comparisons') or 'as many as rows')} comparisons a round for every method"


def _compat(value: JsonValue) -> str:
    """Name the settings that copy the released code and are switched on."""
    if not isinstance(value, dict):
        return ""
    on = ["DPO pairs scored without swapping (every score 0.5 up to rounding)"] if value.get("unswapped_dpo") else []
    on += ["the cap taken over differing proposals"] if value.get("cap") == "differing" else []
    return "; ".join(on)


def _methods(results: Results) -> list[str]:
    """Describe each method with all its settings, under the names that the config uses."""
    # The config in results.json is plain JSON and may come from another version, so its shape is checked here.
    entries = setting(results, "methods")
    rows = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [_method(row) for row in rows]


def _method(row: Mapping[str, JsonValue]) -> str:
    """Describe one method with its settings. A setting that is not set is left out."""
    details = [
        f"{key} {_setting(value)}" for key, value in row.items() if key not in {"kind", "name"} and value is not None
    ]
    kind = row.get("kind")
    name = str(row.get("name", kind))
    # The kind is only worth a word if the method has a name of its own.
    details = details if name == kind else [f"kind {kind}", *details]
    return f"{name} ({', '.join(details)})" if details else name


def _setting(value: JsonValue) -> str:
    """Write the value of a setting. The value may be a method itself, such as `after`."""
    # bool first: it is an int in Python and would be written as a number.
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"({_method(value)})" if isinstance(value, dict) else _number(value)
