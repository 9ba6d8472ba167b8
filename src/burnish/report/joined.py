"""One page for several results folders. Each of the paper's figures and tables has a section: claim and finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from burnish import __version__
from burnish.report.claims import CLAIMS
from burnish.report.drawing import Drawing
from burnish.report.figures import over_rounds
from burnish.report.gaps import MARGIN, At, Claim, Variants, gap
from burnish.report.page import environment
from burnish.report.paper import PAPER_FIGURES, PaperFigure
from burnish.report.series import Point, curve, methods, setting
from burnish.report.tables import Cell, Table, metric_name
from burnish.report.text import NONE, percent, percent_range, plural, signed_points
from burnish.results import Results, read_results
from burnish.store.files import pretty, write_atomic

CLAIMS_FILE = "claims.json"
METRICS = (
    "test_accuracy",
    "label_accuracy",
    "annotator_accuracy",
    "accepted_accuracy",
    "win_rate",
    "kl",
    "kl_per_token",
)
"""The metrics of the table of all results, in the order of their columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingView:
    """A drawing on the page."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """A section of the page: a figure or table, what the paper claims, and what was found here."""

    key: str
    title: str
    paper: str
    note: str
    basis: str
    claims: list[Claim]
    figures: list[DrawingView]
    tables: list[Table]


def write_joined(directories: Sequence[Path], out: Path) -> Path:
    """Write `report.html`, `figures/` and `claims.json` of several results folders into `out`.

    Folders whose experiments have the same name are shown together, as its settings. Returns the path of the page.
    Raises DataError if a results.json cannot be read.
    """
    # dict keeps the order in which the folders were given, for sections and for settings.
    families: dict[str, dict[str, Results]] = {}
    for directory in directories:
        results = read_results(directory)
        variants = families.setdefault(str(setting(results, "name")), {})
        label = str(setting(results, "variant") or "")
        # Two folders may hold the same setting, for example with other seeds. The folder's name then tells them apart.
        variants[label if label not in variants else f"{label} ({directory.name})"] = results
    pages = [_page(name, variants, out / "figures") for name, variants in families.items()]
    title = pages[0].title if len(pages) == 1 else f"{len(pages)} experiments"
    text = environment().get_template("joined.html.j2").render(title=title, pages=pages, burnish_version=__version__)
    # A lone surrogate in somebody's text cannot be written as UTF-8; it becomes an escape.
    write_atomic(out / "report.html", text.encode("utf-8", errors="backslashreplace"))
    claims_by_page = {
        page.key: [{"claim": c.text, "verdict": c.verdict, "detail": c.detail} for c in page.claims] for page in pages
    }
    write_atomic(out / CLAIMS_FILE, pretty(claims_by_page))
    return out / "report.html"


def _page(name: str, variants: Variants, folder: Path) -> PageView:
    """Return one experiment's section, and write its drawings as files."""
    # All settings of an experiment belong to the same figure, so the first one tells which.
    figure = str(setting(next(iter(variants.values())), "figure") or "")
    # An experiment that is no figure of the paper still gets a section, without a claim.
    known = PAPER_FIGURES.get(figure, PaperFigure(title=name, paper="", draw=_plain))
    drawings = known.draw(variants)
    for drawing in drawings:
        write_atomic(folder / f"{name}-{drawing.name}.svg", drawing.svg.encode())
    claims = CLAIMS[figure](variants) if figure in CLAIMS else []
    return PageView(
        key=name,
        title=known.title,
        paper=known.paper,
        note=known.note,
        basis=_basis(variants),
        claims=claims,
        figures=[_view(name, drawing) for drawing in drawings],
        tables=[joined_table(variants)],
    )


def _plain(variants: Variants) -> list[Drawing]:
    """Draw test accuracy over the rounds, for an experiment that is not a figure of the paper."""
    drawn = [
        over_rounds(results, f"test_accuracy-{place}", label or "Test accuracy", "test_accuracy")
        for place, (label, results) in enumerate(variants.items())
    ]
    return [drawing for drawing in drawn if drawing is not None]


def _view(name: str, drawing: Drawing) -> DrawingView:
    """Return a drawing for the page."""
    svg = drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
    # Two sections may hold drawings of the same name, so the section's name goes into the ids.
    for mark in ('id="', "url(#", 'href="#'):
        svg = svg.replace(f"{mark}{drawing.name}-", f"{mark}{name}-{drawing.name}-")
    return DrawingView(title=drawing.title, svg=Markup(svg))  # noqa: S704 (our own drawing)


def _basis(variants: Variants) -> str:
    """Say how many seeds and prompts the section's numbers are taken over, and what the verdicts mean."""
    seeds = {len({run.seed for run in results.runs}) for results in variants.values()}
    prompts = {row.prompts for results in variants.values() for row in results.paired}
    # Settings may have been run with different numbers of seeds.
    least, most = min(seeds), max(seeds)
    over = plural(least, "seed") if least == most else f"{least} to {most} seeds"
    return (
        f"{over}, {' or '.join(f'{n:,}' for n in sorted(prompts))} prompts each; bars and ranges are 95 % intervals. "
        "“Held” means that the interval of the difference excludes zero and lies on the claim’s side. For a claim that "
        "nothing is gained or that two things are alike, “held” means that the interval excludes "
        f"{100 * MARGIN:.0f} points. Otherwise the two cannot be told apart."
    )


def joined_table(variants: Variants) -> Table:
    """Return a row for each setting, method and round: the mean of every metric over seeds, and the gain over SFT."""
    measured = {name for results in variants.values() for run in results.runs for name in run.metrics}
    # A column without any value would only make the table wider.
    metrics = [name for name in METRICS if name in measured]
    rows = [
        (
            Cell(label or "all"),
            Cell(method.label),
            Cell(str(number)),
            *(_cell(next((p for p in curve(results, method.name, m) if p.round == number), None), m) for m in metrics),
            _gain(results, method.name, number),
        )
        for label, results in variants.items()
        for method in methods(results)
        for number in sorted({run.round for run in results.runs if run.method == method.name})
    ]
    header = ("setting", "method", "round", *(metric_name(metric) for metric in metrics), "gain over SFT")
    return Table(title="All results", header=header, rows=tuple(rows), names=2)


def _cell(point: Point | None, metric: str) -> Cell:
    """Return a table cell with a value and its interval."""
    if point is None:
        return Cell(NONE)
    # KL is in nats and not a share.
    if metric.startswith("kl"):
        return Cell(f"{point.value:.3g}", "" if point.ci95 is None else f"{point.ci95[0]:.3g} to {point.ci95[1]:.3g}")
    return Cell(percent(point.value), "" if point.ci95 is None else percent_range(point.ci95))


def _gain(results: Results, method: str, number: int) -> Cell:
    """Return a table cell with the gain over SFT and its interval."""
    gain = gap(results, At(method, number), At("sft", 0)) if method != "sft" else None
    if gain is None:
        return Cell(NONE)
    ends = "" if gain.ci95 is None else f"{signed_points(gain.ci95[0])} to {signed_points(gain.ci95[1])}"
    return Cell(signed_points(gain.value), ends)
