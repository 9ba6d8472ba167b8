"""One page of several results folders: a section for each of the paper's figures and tables, claim beside finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from burnish import __version__
from burnish.report.claims import CLAIMS
from burnish.report.drawing import Drawing
from burnish.report.figures import over_rounds
from burnish.report.gaps import At, Claim, Variants, gap
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureView:
    """A drawing on the page."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """A section: a figure or table with what the paper claims and what was found."""

    key: str
    title: str
    paper: str
    note: str
    basis: str
    claims: list[Claim]
    figures: list[FigureView]
    tables: list[Table]


def write_joined(directories: Sequence[Path], out: Path) -> Path:
    """Write `report.html`, `figures/` and `claims.json` of several results folders into `out`; returns the page's path.

    Folders of one experiment name stand side by side as its settings. Raises DataError as the readers do.
    """
    families: dict[str, dict[str, Results]] = {}
    for directory in directories:
        results = read_results(directory)
        variants = families.setdefault(str(setting(results, "name")), {})
        label = str(setting(results, "variant") or "")
        variants[label if label not in variants else f"{label} ({directory.name})"] = results
    pages = [_page(name, variants, out / "figures") for name, variants in families.items()]
    title = pages[0].title if len(pages) == 1 else f"{len(pages)} experiments"
    text = environment().get_template("joined.html.j2").render(title=title, pages=pages, burnish_version=__version__)
    write_atomic(out / "report.html", text.encode("utf-8", errors="backslashreplace"))
    found = {
        page.key: [{"claim": c.text, "verdict": c.verdict, "detail": c.detail} for c in page.claims] for page in pages
    }
    write_atomic(out / CLAIMS_FILE, pretty(found))
    return out / "report.html"


def _page(name: str, variants: Variants, folder: Path) -> PageView:
    figure = str(setting(next(iter(variants.values())), "figure") or "")
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
    drawn = [
        over_rounds(results, f"test_accuracy-{place}", label or "Test accuracy", "test_accuracy")
        for place, (label, results) in enumerate(variants.items())
    ]
    return [drawing for drawing in drawn if drawing is not None]


def _view(name: str, drawing: Drawing) -> FigureView:
    svg = drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
    for mark in ('id="', "url(#", 'href="#'):  # two pages may hold drawings of one name
        svg = svg.replace(f"{mark}{drawing.name}-", f"{mark}{name}-{drawing.name}-")
    return FigureView(title=drawing.title, svg=Markup(svg))  # noqa: S704 (our own drawing)


def _basis(variants: Variants) -> str:
    seeds = {len({run.seed for run in results.runs}) for results in variants.values()}
    prompts = {row.prompts for results in variants.values() for row in results.paired}
    least, most = min(seeds), max(seeds)
    over = plural(least, "seed") if least == most else f"{least} to {most} seeds"
    return (
        f"{over}, {' or '.join(f'{n:,}' for n in sorted(prompts))} prompts each; bars and ranges are 95 % intervals. "
        "“Held” means that the interval of the difference excludes zero on the claim’s side; where the claim is that "
        "nothing is gained, that it does not lie above zero."
    )


def joined_table(variants: Variants) -> Table:
    """Return setting x method x round with every metric's mean over seeds, and the gain over SFT."""
    there = {name for results in variants.values() for run in results.runs for name in run.metrics}
    metrics = [name for name in METRICS if name in there]
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
    if point is None:
        return Cell(NONE)
    if metric.startswith("kl"):
        return Cell(f"{point.value:.3g}", "" if point.ci95 is None else f"{point.ci95[0]:.3g} to {point.ci95[1]:.3g}")
    return Cell(percent(point.value), "" if point.ci95 is None else percent_range(point.ci95))


def _gain(results: Results, method: str, number: int) -> Cell:
    found = gap(results, At(method, number), At("sft", 0)) if method != "sft" else None
    if found is None:
        return Cell(NONE)
    ends = "" if found.ci95 is None else f"{signed_points(found.ci95[0])} to {signed_points(found.ci95[1])}"
    return Cell(signed_points(found.value), ends)
