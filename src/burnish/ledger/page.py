"""The report of a refinement: one self-contained page that says what was done, by whom, and which rows changed and
why."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from burnish import __version__
from burnish.algorithms.comparisons import request_text
from burnish.algorithms.ledger_lines import BINS
from burnish.config import AuditConfig
from burnish.ledger.calibration import calibration_words, reliability
from burnish.ledger.folder import REPORT, Folder, StandingChange
from burnish.ledger.history import WHY
from burnish.ledger.holdout import holdout_table, holdout_words
from burnish.ledger.naming import annotator_words, method_words, proposals_words, public_name
from burnish.ledger.notes import ended_words, losses, taken_back
from burnish.ledger.routes import routing_table
from burnish.ledger.summary import CallSummary, RoundSummary, Summary, reference_doubt
from burnish.report.drawing import Axis, Curve, Mark, curves, scaled
from burnish.report.facts import Fact
from burnish.report.page import environment
from burnish.report.tables import (
    EFFECTS,
    REASONS,
    Cell,
    Table,
    confidence_cells,
    confidence_header,
    effect_cells,
)
from burnish.report.text import percent, percent_range, plural, shortened
from burnish.results import Metric
from burnish.store.files import write_atomic
from burnish.types import Reason, short_hash

MOST_CHANGES, LONGEST_TEXT = 24, 1200
"""How many changes the page shows, and how many characters of each text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledChange:
    """A changed row in the form in which the page shows it."""

    id: str
    where: str
    round: int
    prompt: str
    before: str
    after: str


def write_page(folder: Path, summary: Summary) -> Path:
    """Write `report.html` into a refinement's folder. It shows a sample of the changes; `burnish diff --html` shows
    all."""
    path = folder / REPORT
    changed, chosen = _drawn(Folder(folder).standing_changes())
    page = (
        environment()
        .get_template("refinement.html.j2")
        .render(
            name=summary.config.name,
            headline=headline(summary, changed),
            facts=facts(summary),
            figure=figure(summary),
            rounds=rounds_table(summary),
            reasons=reasons_table(summary),
            glossary=glossary(summary),
            effects=effects_table(summary),
            confidence=confidence_table(summary),
            holdout=holdout_table(summary),
            routing=routing_table(summary),
            selftest=selftest_table(summary),
            reliability=reliability(summary),
            calibration=calibration_words(summary),
            harm=harm_table(summary),
            changes=_shown(Folder(folder), chosen),
            changes_total=changed,
            bad_rows=summary.data.bad_rows,
            burnish_version=__version__,
        )
    )
    # A model may have written half of a surrogate pair, which has no form in UTF-8.
    write_atomic(path, page.encode("utf-8", errors="backslashreplace"))
    return path


def headline(summary: Summary, changed: int) -> list[str]:
    """Return the result in a few sentences."""
    data, rounds = summary.data, summary.rounds
    # A share of the usable rows, since the others could not change.
    share = percent(changed / data.usable)
    lines = [f"{plural(changed, 'label')} of {data.usable:,} changed ({share}) in {plural(len(rounds), 'round')}."]
    if summary.right_labels is not None:
        before, after = map(_accuracy, summary.right_labels)
        lines.append(f"Right labels: {before} before, {after} after.")
    if held := holdout_words(summary):
        lines.append(held)
    if back := taken_back(summary):
        lines.append(back)
    lines.extend(f"{words[0].upper()}{words[1:]}." for round_ in rounds for words in ended_words(summary, round_))
    lines.extend(f"Warning: {loss}." for loss in losses(summary))
    if doubt := reference_doubt(summary):
        lines.append(doubt)
    if summary.state != "done":
        lines.append("This refinement is not finished. The command that continues it was printed when it stopped.")
    return lines


def facts(summary: Summary) -> list[Fact]:
    """Return what was refined, by whom, and with what."""
    config, data = summary.config, summary.data
    # Rows that cannot be used stay in the dataset, unchanged.
    skipped = f", {data.skipped:,} left as they are (they cannot be used)" if data.skipped else ""
    skipped += f", {data.held_out:,} held out" if data.held_out else ""
    rows = [
        Fact("Dataset", f"{Path(config.data.source).name}: {data.rows:,} rows, {data.form}{skipped}"),
        Fact("Model", "none was trained" if config.model is None else public_name(config.model.source)),
        Fact("Proposals by", "" if config.proposals is None else proposals_words(config)),
        Fact("Method", method_words(config.method)),
        Fact("Annotator", annotator_words(config.annotator)),
        Fact("Answers differ by", config.differs.kind),
        Fact("Audit", _audit_words(config.audit)),
        Fact("Judge's server", call_words(summary.calls)),
        Fact("Proposals' server", call_words(summary.proposal_calls)),
    ]
    return [fact for fact in rows if fact.value]


def _audit_words(audit: AuditConfig | None) -> str:
    """Return how changes were audited, or an empty text if they were not."""
    if audit is None:
        return ""
    limit = "" if audit.max_harm is None else f", at most {percent(audit.max_harm)} harmed"
    return f"up to {plural(audit.size, 'change')} a round, judged by {annotator_words(audit.by)}{limit}"


def call_words(calls: CallSummary | None) -> str:
    """Return what a server was paid for, or an empty text if no server was asked."""
    if calls is None:
        return ""
    # There is a cost only if the server's config names prices.
    money = "" if calls.cost is None else f", {calls.cost:.2f} {calls.currency}"
    tokens = f"{calls.prompt_tokens:,} tokens read, {calls.completion_tokens:,} written"
    return f"{plural(calls.calls, 'answered call')}, {calls.failed:,} given up, {tokens}{money}"


def rounds_table(summary: Summary) -> Table:
    """Return what happened in each round. There are accuracies only if a reference column was named."""
    # Multiplying a tuple by False gives an empty one: without a reference the table has three columns less.
    known = summary.given_accuracy is not None
    # Folders of earlier versions do not have these counts.
    counted = any(round_.preferred for round_ in summary.rounds)
    header = (
        "round",
        "compared",
        *(("preferred", "held") * counted),
        "labels changed",
        *(("right labels", "annotator right", "of what it accepted") * known),
    )
    # The first row of the table is the state before any round.
    start = (
        Cell("before"),
        Cell(""),
        *((Cell(""), Cell("")) if counted else ()),
        Cell(""),
        *((_cell(summary.given_accuracy), Cell(""), Cell("")) if known else ()),
    )
    rows = [
        (
            Cell(str(round_.round)),
            Cell(f"{round_.compared:,}"),
            *((Cell(f"{round_.preferred or 0:,}"), _held_cell(round_)) if counted else ()),
            Cell(f"{round_.counts.get(Reason.ACCEPTED, 0):,}", percent(round_.replaced.value or 0)),
            *(
                (_cell(round_.label_accuracy), _cell(round_.annotator_accuracy), _cell(round_.accepted_accuracy))
                if known
                else ()
            ),
        )
        for round_ in summary.rounds
    ]
    return Table(title="Rounds", header=header, rows=(start, *rows))


def _held_cell(round_: RoundSummary) -> Cell:
    """Return how many of the preferred proposals met the rule of acceptance, with their share."""
    if not round_.preferred or round_.held is None:
        return Cell("")
    return Cell(f"{round_.held:,}", percent(round_.held / round_.preferred))


def reasons_table(summary: Summary) -> Table:
    """Return the number of rows by reason and round."""
    present = _reasons(summary)
    rows = tuple(
        (Cell(str(round_.round)), *(_count(round_, reason) for reason in present)) for round_ in summary.rounds
    )
    return Table(title="Reasons", header=("round", *(REASONS[reason] for reason in present)), rows=rows)


def _reasons(summary: Summary) -> list[Reason]:
    """Return the reasons that at least one row has."""
    # Reasons that no row has would only make the table wider.
    return [reason for reason in REASONS if any(round_.counts.get(reason) for round_ in summary.rounds)]


def glossary(summary: Summary) -> list[Fact]:
    """Return what each reason in the table means, with its name in the ledger."""
    # The sentences are those of `burnish show` and of the end of `burnish refine`.
    return [Fact(REASONS[reason], f"{WHY[reason]} ({reason} in the ledger)") for reason in _reasons(summary)]


def effects_table(summary: Summary) -> Table | None:
    """Return what the changes of each round did, or None without a reference."""
    known = [(round_.round, round_.effects) for round_ in summary.rounds if round_.effects is not None]
    rows = tuple((Cell(str(number)), *effect_cells(effects)) for number, effects in known)
    return Table(title="Changes", header=("round", *EFFECTS.values()), rows=rows) if rows else None


def confidence_table(summary: Summary) -> Table | None:
    """Return how sure the annotator was of what it judged and of what was accepted, or None if that is unknown."""
    known = [round_ for round_ in summary.rounds if round_.confidence]
    if not known:
        return None
    rows = tuple(
        (Cell(str(round_.round)), *confidence_cells(round_.confidence, round_.accepted_confidence)) for round_ in known
    )
    header = ("round", *confidence_header(BINS))
    return Table(title="Confidence", header=header, rows=rows)


def _count(round_: RoundSummary, reason: Reason) -> Cell:
    """Return a count of rows, with its share of the round."""
    count = round_.counts.get(reason, 0)
    # Every usable row has exactly one reason in each round, so the counts add up to all rows.
    return Cell(f"{count:,}", percent(count / sum(round_.counts.values())))


def selftest_table(summary: Summary) -> Table | None:
    """Return the results on planted pairs, or None if there was no self-test."""
    report = summary.selftest
    if report is None:
        return None
    rows = [
        ("accuracy on planted pairs", report.accuracy),
        *((f"where {kind} was planted", metric) for kind, metric in report.by_planting.items()),
        ("lean to the answer shown first", report.position_lean),
        ("names another winner when the sides are swapped", report.flip_rate),
        ("lean to the longer answer", report.length_lean),
        ("gives the same verdict when asked again", report.self_consistency),
        ("ties", report.ties),
        ("abstained", report.abstained),
    ]
    cells = tuple((Cell(name), _cell(metric), Cell(f"{metric.n:,}")) for name, metric in rows if metric is not None)
    return Table(title="Self-test", header=("", "", "n"), rows=cells)


def harm_table(summary: Summary) -> Table | None:
    """Return what the audits found, or None if nothing was audited."""
    audited = [(round_.round, round_.harm) for round_ in summary.rounds if round_.harm is not None]
    if not audited:
        return None
    rows = tuple(
        (
            Cell(str(number)),
            Cell(f"{harm.changes:,}"),
            Cell(f"{harm.sampled:,}"),
            Cell(f"{harm.harmed:,}", f"{harm.undecided:,} undecided" if harm.undecided else ""),
            Cell(percent(harm.bound), f"at {percent(harm.level)}"),
            Cell("yes" if harm.accepted else "no"),
        )
        for number, harm in audited
    )
    header = ("round", "changes", "looked at", "harmed", "at most harmed", "accepted")
    return Table(title="Audit", header=header, rows=rows)


def _cell(metric: Metric | None) -> Cell:
    """Return a share with its interval. It is a dash if there is none."""
    # A share of no rows is unknown, and not 0.
    if metric is None or metric.value is None:
        return Cell("–")
    return Cell(percent(metric.value), percent_range(metric.ci95) if metric.ci95 else "")


def _accuracy(metric: Metric) -> str:
    """Return a share with its interval, as text."""
    assert metric.value is not None, metric
    interval = f" (95 % interval {percent_range(metric.ci95)})" if metric.ci95 else ""
    return f"{percent(metric.value)}{interval}"


def figure(summary: Summary) -> Markup | None:
    """Draw the share of right labels over the rounds. Returns None if fewer than two points are known."""
    points = [(0, summary.given_accuracy), *((round_.round, round_.label_accuracy) for round_ in summary.rounds)]
    marks = [
        Mark(x=float(number), y=100 * metric.value, y_ci=scaled(metric.ci95, 100))
        for number, metric in points
        if metric is not None and metric.value is not None
    ]
    # One point makes no curve.
    if len(marks) < 2:
        return None
    # Shares become percentages, since the axis is labelled so.
    drawn = curves(
        "label-accuracy",
        "Right labels over the rounds",
        Axis(label="round", whole=True),
        Axis(label="right labels (%)"),
        [Curve(label="labels", marks=tuple(marks))],
    )
    return Markup(drawn.svg)  # noqa: S704 our own drawing


def _drawn(changes: Iterable[StandingChange]) -> tuple[int, list[StandingChange]]:
    """Return the number of changes, and those that are shown: the first ones by hash of their id, so that the report
    is the same every time."""
    count = itertools.count()
    # The number breaks a tie of two hashes, since changes have no order.
    hashed = ((short_hash(change.example_id), next(count), change) for change in changes)
    chosen = heapq.nsmallest(MOST_CHANGES, hashed)
    return next(count), [change for _, _, change in chosen]


def _shown(folder: Folder, chosen: list[StandingChange]) -> list[SampledChange]:
    """Return changes with their texts."""
    texts = folder.answers(side for change in chosen for side in (change.before, change.after))
    # Only these examples are kept, since the dataset may be larger than memory.
    examples = folder.examples_of(change.example_id for change in chosen)
    return [
        SampledChange(
            id=change.example_id,
            where=str(examples[change.example_id].metadata["where"]),
            round=change.round,
            prompt=shortened(request_text(examples[change.example_id].prompt), LONGEST_TEXT),
            before=shortened(texts[change.before].completion, LONGEST_TEXT),
            after=shortened(texts[change.after].completion, LONGEST_TEXT),
        )
        for change in chosen
    ]
