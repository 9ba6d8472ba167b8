"""One HTML file that needs no other file: no script and no network. It can be read on a phone and on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import JsonValue

from burnish.config import ANNOTATORS
from burnish.config.base import ON_RECORD
from burnish.errors import DataError
from burnish.report.figures import draw_figures
from burnish.report.series import setting
from burnish.report.tables import (
    REASONS,
    confidence_table,
    costs_table,
    effects_table,
    paired_table,
    reasons_table,
    stages_table,
    summary_table,
)
from burnish.report.text import duration, memory, plural, shortened, visible
from burnish.report.words import annotator_accuracy, basis, found_here, headline, judge_words, paper_reports
from burnish.results import (
    CONFIG_FILE,
    Change,
    Confidence,
    Results,
    Timings,
    read_changes,
    read_confidence,
    read_results,
    read_timings,
)
from burnish.store.files import write_atomic
from burnish.types import Reason

# So many examples are enough for a look; changes.jsonl has all of them. A long answer is cut after so many characters,
# so that the page stays readable.
_MOST_CHANGES, _LONGEST_TEXT = 24, 1200


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a description list."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureView:
    """A figure with its caption: what the paper reports, what was found here, and what the bars mean."""

    svg: Markup
    title: str
    paper: str
    found: str
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """An example refinement in words."""

    where: str
    outcome: str
    accepted: bool
    confidence: str
    prompt: str
    before: str
    before_mark: str
    after: str
    after_mark: str


def write_report(directory: Path) -> Path:
    """Write `report.html` into a results folder and return its path.

    Raises DataError if a file of the folder is missing or cannot be read.
    """
    results, timings, changes = read_results(directory), read_timings(directory), read_changes(directory)
    confidence = read_confidence(directory)
    config = directory / CONFIG_FILE
    if not config.is_file():
        raise DataError(f"{config}: no such file; give the folder that `burnish run` wrote (its --out)")
    # Nothing is written before all files were read, so a damaged folder keeps its old page.
    path = directory / "report.html"
    # errors="replace": a config with a broken character must not stop the report.
    page = render(
        results, timings, changes, config.read_text(encoding="utf-8", errors="replace"), confidence=confidence
    )
    write_atomic(path, page.encode("utf-8", errors="backslashreplace"))
    return path


def render(
    results: Results, timings: Timings, changes: list[Change], config: str, *, confidence: Sequence[Confidence] = ()
) -> str:
    """Return the page as HTML.

    Every string in it is escaped, and its control characters are made visible, because datasets and models may contain
    anything.
    """
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            name=str(setting(results, "name") or "experiment"),
            headline=headline(results),
            facts=facts(results),
            figures=_figure_views(results),
            summary=summary_table(results),
            paired=paired_table(results),
            reasons=reasons_table(results),
            effects=effects_table(results),
            confidence=confidence_table(results, confidence),
            changes=[_change_view(change) for change in dealt(changes)[:_MOST_CHANGES]],
            changes_total=len(changes),
            costs=costs_table(timings),
            cost_facts=_cost_facts(timings),
            stages=stages_table(timings),
            config=config,
            versions=[Fact(name, version) for name, version in sorted(timings.versions.items())],
            burnish_version=results.burnish_version,
        )
    )


def environment() -> Environment:
    """Return the template environment. It escapes everything except markup that burnish itself made."""
    return Environment(
        loader=PackageLoader("burnish.report"),
        autoescape=True,
        # A name that a template misspells is an error and not an empty text.
        undefined=StrictUndefined,
        finalize=_harmless,
        # Lines that hold only a template tag leave no empty line in the page. In Markdown an empty line would end a
        # list.
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _harmless(value: object) -> object:
    """Make control characters visible in every string that is not burnish's own markup."""
    # Jinja calls this for every value it prints, so no template can forget it.
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


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
        Fact("Labels from", "ground truth" if demonstrations == "gold" else "the weak supervisor"),
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


def _figure_views(results: Results) -> list[FigureView]:
    """Draw the figures and write their captions."""
    return [
        FigureView(
            # Markup is safe here: the drawing is our own, and matplotlib escapes the names that it writes.
            svg=Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1)),  # noqa: S704
            title=drawing.title,
            paper=paper_reports(results, drawing.name),
            found=found_here(results, drawing.name),
            basis=basis(drawing, results),
        )
        for drawing in draw_figures(results)
    ]


def dealt(changes: Sequence[Change]) -> list[Change]:
    """Order changes so that a short list shows every kind.

    Each method, round and reason has its first change before any of them has its second. ILR comes before other
    methods.
    """
    # How many changes of each kind came before: all firsts are sorted before all seconds.
    seen_of_kind: Counter[tuple[str, int, Reason]] = Counter()
    order: list[tuple[int, bool, int, Change]] = []
    for place, change in enumerate(changes):
        kind = (change.method, change.round, change.reason)
        order.append((seen_of_kind[kind], change.method != "ilr", place, change))
        seen_of_kind[kind] += 1
    return [change for *_, change in sorted(order, key=lambda row: row[:3])]


def _change_view(change: Change) -> ChangeView:
    """Describe one example refinement."""
    return ChangeView(
        where=f"{change.method}, seed {change.seed}, round {change.round}, row {change.example_id}",
        outcome=REASONS[change.reason],
        accepted=change.reason == "accepted",
        confidence="" if change.p_b is None else f"P(proposal better) {change.p_b:.2f}",
        prompt=shortened(change.prompt, _LONGEST_TEXT),
        before=shortened(change.before, _LONGEST_TEXT),
        before_mark=_mark(change.before_correct),
        after=shortened(change.after, _LONGEST_TEXT),
        after_mark=_mark(change.after_correct),
    )


def _mark(correct: bool | None) -> str:
    """Mark an answer as right or wrong. Without a gold answer there is no mark."""
    return "" if correct is None else "✓ right" if correct else "✗ wrong"


def _cost_facts(timings: Timings) -> list[Fact]:
    """Return the time, the stages, the memory and the machine."""
    machine = timings.machine
    reused = sum(stage.reused for stage in timings.stages)
    # Some systems do not report memory, cores or threads. Then the page leaves them out or says so.
    peak = timings.peak_memory_bytes
    cores = "" if machine.cpu_count is None else f", {plural(machine.cpu_count, 'core')}"
    threads = "" if machine.threads is None else f", {plural(machine.threads, 'thread')} a process"
    return [
        Fact("Time", duration(timings.total_seconds)),
        Fact("Stages", f"{len(timings.stages) - reused:,} run, {reused:,} reused from the store"),
        Fact("Peak memory", "not measured" if peak is None else memory(peak)),
        Fact("Machine", f"{machine.platform}, {machine.device}{cores}{threads}"),
    ]
