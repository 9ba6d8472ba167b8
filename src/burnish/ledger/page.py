"""The report of a refinement: one self-contained page of what was done, by whom, and which rows changed and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from burnish import __version__
from burnish.algorithms.comparisons import request_text
from burnish.config import AuditConfig
from burnish.ledger.folder import REPORT, Change, Folder
from burnish.ledger.naming import annotator_words, method_words, public_name
from burnish.ledger.summary import RoundSummary, Summary, reference_doubt
from burnish.report.drawing import Axis, Curve, Mark, curves, scaled
from burnish.report.page import Fact, environment
from burnish.report.tables import REASONS, Cell, Table
from burnish.report.text import percent, percent_range, plural, shortened
from burnish.results import Metric
from burnish.store.files import write_atomic
from burnish.types import Reason, short_hash

MOST_CHANGES, LONGEST_TEXT = 24, 1200


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """A changed row in words."""

    id: str
    where: str
    round: int
    prompt: str
    before: str
    after: str


def write_page(folder: Path, summary: Summary) -> Path:
    """Write `report.html` into a refinement's folder; `burnish diff --html` has every change."""
    path = folder / REPORT
    changes = list(Folder(folder).standing().values())
    page = (
        environment()
        .get_template("refinement.html.j2")
        .render(
            name=summary.config.name,
            headline=headline(summary, len(changes)),
            facts=facts(summary),
            figure=figure(summary),
            rounds=rounds_table(summary),
            reasons=reasons_table(summary),
            selftest=selftest_table(summary),
            harm=harm_table(summary),
            changes=_shown(Folder(folder), changes),
            changes_total=len(changes),
            bad_rows=summary.data.bad_rows,
            burnish_version=__version__,
        )
    )
    write_atomic(path, page.encode("utf-8", errors="backslashreplace"))
    return path


def headline(summary: Summary, changed: int) -> list[str]:
    """Return the result in a few sentences."""
    data, rounds = summary.data, summary.rounds
    share = percent(changed / data.usable)
    lines = [f"{plural(changed, 'label')} of {data.usable:,} changed ({share}) in {plural(len(rounds), 'round')}."]
    if summary.right_labels is not None:
        before, after = map(_accuracy, summary.right_labels)
        lines.append(f"Right labels: {before} before, {after} after.")
    if doubt := reference_doubt(summary):
        lines.append(doubt)
    if summary.state != "done":
        lines.append("This refinement waits: the command that goes on was printed when it stopped.")
    if summary.reverted:
        lines.append(f"{plural(summary.reverted, 'change')} taken back by the user.")
    return lines


def facts(summary: Summary) -> list[Fact]:
    """Return what was refined, by whom, with what."""
    config, data = summary.config, summary.data
    skipped = f", {data.skipped:,} left as they are (they cannot be used)" if data.skipped else ""
    rows = [
        Fact("Dataset", f"{Path(config.data.source).name}: {data.rows:,} rows, {data.form}{skipped}"),
        Fact("Model", public_name(config.model.source)),
        Fact("Method", method_words(config.method)),
        Fact("Annotator", annotator_words(config.annotator)),
        Fact("Answers differ by", config.differs.kind),
        Fact("Audit", _audit_words(config.audit)),
        Fact("Judge's server", _call_words(summary)),
    ]
    return [fact for fact in rows if fact.value]


def _audit_words(audit: AuditConfig | None) -> str:
    if audit is None:
        return ""
    limit = "" if audit.max_harm is None else f", at most {percent(audit.max_harm)} harmed"
    return f"up to {plural(audit.size, 'change')} a round, judged by {annotator_words(audit.by)}{limit}"


def _call_words(summary: Summary) -> str:
    calls = summary.calls
    if calls is None:
        return ""
    money = "" if calls.cost is None else f", {calls.cost:.2f} {calls.currency}"
    tokens = f"{calls.prompt_tokens:,} tokens read, {calls.completion_tokens:,} written"
    return f"{plural(calls.calls, 'answered call')}, {calls.failed:,} given up, {tokens}{money}"


def rounds_table(summary: Summary) -> Table:
    """Return what happened in each round; accuracies where a reference column was named."""
    known = summary.given_accuracy is not None
    header = (
        "round",
        "compared",
        "labels changed",
        *(("right labels", "annotator right", "of what it accepted") * known),
    )
    start = (
        Cell("before"),
        Cell(""),
        Cell(""),
        *((_cell(summary.given_accuracy), Cell(""), Cell("")) if known else ()),
    )
    rows = [
        (
            Cell(str(one.round)),
            Cell(f"{one.compared:,}"),
            Cell(f"{one.counts.get(Reason.ACCEPTED, 0):,}", percent(one.replaced.value or 0)),
            *(
                (_cell(one.label_accuracy), _cell(one.annotator_accuracy), _cell(one.accepted_accuracy))
                if known
                else ()
            ),
        )
        for one in summary.rounds
    ]
    return Table(title="Rounds", header=header, rows=(start, *rows))


def reasons_table(summary: Summary) -> Table:
    """Return rows by reason and round."""
    present = [reason for reason in REASONS if any(one.counts.get(reason) for one in summary.rounds)]
    rows = tuple((Cell(str(one.round)), *(_count(one, reason) for reason in present)) for one in summary.rounds)
    return Table(title="Reasons", header=("round", *(REASONS[reason] for reason in present)), rows=rows)


def _count(one: RoundSummary, reason: Reason) -> Cell:
    count = one.counts.get(reason, 0)
    return Cell(f"{count:,}", percent(count / sum(one.counts.values())))


def selftest_table(summary: Summary) -> Table | None:
    """Return what the annotator showed on planted pairs."""
    report = summary.selftest
    if report is None:
        return None
    rows = [
        ("accuracy on planted pairs", report.accuracy),
        *((f"where {kind} was planted", metric) for kind, metric in report.by_planting.items()),
        ("leans to what is shown first by", report.position_lean),
        ("contradicts itself when sides are swapped", report.flip_rate),
        ("leans to the longer answer by", report.length_lean),
        ("says the same when asked again", report.self_consistency),
        ("ties", report.ties),
        ("abstained", report.abstained),
    ]
    cells = tuple((Cell(name), _cell(metric), Cell(f"{metric.n:,}")) for name, metric in rows if metric is not None)
    return Table(title="Self-test", header=("", "", "n"), rows=cells)


def harm_table(summary: Summary) -> Table | None:
    """Return what audits found."""
    audited = [(one.round, one.harm) for one in summary.rounds if one.harm is not None]
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
    if metric is None or metric.value is None:
        return Cell("–")
    return Cell(percent(metric.value), percent_range(metric.ci95) if metric.ci95 else "")


def _accuracy(metric: Metric) -> str:
    assert metric.value is not None, metric
    interval = f" (95 % interval {percent_range(metric.ci95)})" if metric.ci95 else ""
    return f"{percent(metric.value)}{interval}"


def figure(summary: Summary) -> Markup | None:
    """Draw right labels over the rounds, where they are known."""
    points = [(0, summary.given_accuracy), *((one.round, one.label_accuracy) for one in summary.rounds)]
    marks = [
        Mark(x=float(number), y=100 * metric.value, y_ci=scaled(metric.ci95, 100))
        for number, metric in points
        if metric is not None and metric.value is not None
    ]
    if len(marks) < 2:
        return None
    drawn = curves(
        "label-accuracy",
        "Right labels over the rounds",
        Axis(label="round", whole=True),
        Axis(label="right labels (%)"),
        [Curve(label="labels", marks=tuple(marks))],
    )
    return Markup(drawn.svg)  # noqa: S704 our own drawing


def _shown(folder: Folder, changes: list[Change]) -> list[ChangeView]:
    """Return some changes with their texts: the first ones by id, so that the report is the same every time."""
    chosen = sorted(changes, key=lambda change: short_hash(change.example_id))[:MOST_CHANGES]
    texts = folder.answers(side for change in chosen for side in (change.before, change.after))
    wanted = {change.example_id for change in chosen}
    examples = {example.id: example for example in folder.examples() if example.id in wanted}
    return [
        ChangeView(
            id=change.example_id,
            where=str(examples[change.example_id].metadata["where"]),
            round=change.round,
            prompt=shortened(request_text(examples[change.example_id].prompt), LONGEST_TEXT),
            before=shortened(texts[change.before].completion, LONGEST_TEXT),
            after=shortened(texts[change.after].completion, LONGEST_TEXT),
        )
        for change in chosen
    ]
