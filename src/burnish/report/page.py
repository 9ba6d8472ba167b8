"""One HTML file that needs no other file: no script and no network. It can be read on a phone and on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from burnish.errors import DataError
from burnish.report.cautions import cautions
from burnish.report.drawing import Drawing
from burnish.report.facts import Fact, facts
from burnish.report.figures import draw_figures
from burnish.report.noise import noise_table
from burnish.report.reliability import by_method, view_of
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
from burnish.report.words import basis, found_here, headline, paper_reports
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


def write_report(directory: Path, drawings: Sequence[Drawing] | None = None) -> Path:
    """Write `report.html` into a results folder and return its path.

    `drawings` are its figures, if they are drawn already (see `write_figures`). Raises DataError if a file of the
    folder is missing or cannot be read.
    """
    results, timings, changes = read_results(directory), read_timings(directory), read_changes(directory)
    confidence = read_confidence(directory)
    config = directory / CONFIG_FILE
    if not config.is_file():
        raise DataError(f"{config}: no such file; give the folder that `burnish run` wrote (its --out)")
    # Nothing is written before all files were read, so a damaged folder keeps its old page.
    path = directory / "report.html"
    # errors="replace": a config with a broken character must not stop the report.
    settings = config.read_text(encoding="utf-8", errors="replace")
    page = render(results, timings, changes, settings, confidence=confidence, drawings=drawings)
    write_atomic(path, page.encode("utf-8", errors="backslashreplace"))
    return path


def render(
    results: Results,
    timings: Timings,
    changes: list[Change],
    config: str,
    *,
    confidence: Sequence[Confidence] = (),
    drawings: Sequence[Drawing] | None = None,
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
            cautions=cautions(results),
            facts=facts(results),
            figures=_figure_views(results, draw_figures(results) if drawings is None else drawings),
            summary=summary_table(results),
            paired=paired_table(results),
            noise=noise_table(results),
            reasons=reasons_table(results),
            effects=effects_table(results),
            confidence=confidence_table(results, confidence),
            reliability=view_of("Reliability of the annotator", by_method(results, confidence)),
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


@cache
def environment() -> Environment:
    """Return the template environment. It escapes everything except markup that burnish itself made."""
    # It is made once, because an environment keeps its compiled templates: to compile them takes longer than to fill
    # them.
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


def _figure_views(results: Results, drawings: Sequence[Drawing]) -> list[FigureView]:
    """Write the captions of the figures."""
    return [
        FigureView(
            # Markup is safe here: the drawing is our own, and matplotlib escapes the names that it writes.
            svg=Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1)),  # noqa: S704
            title=drawing.title,
            paper=paper_reports(results, drawing.name),
            found=found_here(results, drawing.name),
            basis=basis(drawing, results),
        )
        for drawing in drawings
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
