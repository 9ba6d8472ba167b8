"""The report of `burnish seam score`: one page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from markupsafe import Markup

from burnish import __version__
from burnish.algorithms.seam import SHOWN, Response, Variant, means
from burnish.report.facts import Fact
from burnish.report.histogram import histogram
from burnish.report.page import environment
from burnish.report.tables import Cell, Table
from burnish.report.text import plural, shortened
from burnish.seam.results import REPORT_FILE, SCORES_FILE, WORDS, mean_words, plain, riskiest, warnings
from burnish.seam.table import GOLD, PROMPT, TEXT, WORSE, TableRow
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line

MOST_ROWS, LONGEST_TEXT = 24, 1200
"""How many prompts the page shows, and how many characters of each text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerView:
    """An answer as the page shows it."""

    what: str
    numbers: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptView:
    """A prompt with the answers that the reward model misjudges."""

    id: str
    score: str
    prompt: str
    answers: tuple[AnswerView, ...]


def render(rows: Sequence[TableRow], name: str, notes: Sequence[str] = ()) -> str:
    """Return the page as HTML. Every string in it is escaped, because models and datasets may contain anything.

    `notes` say what was met while the table was made.
    """
    values = [value for row in rows if (value := row.score.values[Variant.SEAM]) is not None]
    drawing = histogram("seam", "SEAM of the prompts", "SEAM", "prompts", values) if values else None
    return (
        environment()
        .get_template("seam.html.j2")
        .render(
            name=name,
            facts=_facts(rows),
            notes=notes,
            warnings=list(warnings(rows)),
            # Markup is safe here: the drawing is our own.
            figure=None if drawing is None else Markup(drawing.svg.replace("<svg ", '<svg aria-hidden="true" ', 1)),  # noqa: S704
            means=_means_table(rows),
            prompts=[prompt_view(row) for row in riskiest(rows, MOST_ROWS)],
            burnish_version=__version__,
        )
    )


def write_results(rows: Sequence[TableRow], folder: Path, name: str, notes: Sequence[str] = ()) -> Path:
    """Write the scores, and the page that shows them, into a folder, and return the path of the page.

    `notes` say what was met on the way. Raises StageError if the folder cannot be written.
    """
    write_atomic(folder / SCORES_FILE, b"".join(dump_line(plain(row.score)) for row in rows))
    page = render(rows, name, notes)
    write_atomic(folder / REPORT_FILE, page.encode("utf-8", errors="backslashreplace"))
    return folder / REPORT_FILE


def _facts(rows: Sequence[TableRow]) -> list[Fact]:
    found = means(row.score for row in rows)
    worse = sum(len(row.worse) for row in rows)
    sources = sorted({row.source for row in rows if row.source})
    return [
        Fact("Prompts", f"{len(rows):,}, {found.undefined:,} without a worse answer (no score)"),
        Fact("Worse answers", f"{worse:,}" + (f", {worse / len(rows):.1f} for a prompt" if rows else "")),
        *([Fact("Source", ", ".join(sources))] if sources else []),
    ]


def _means_table(rows: Sequence[TableRow]) -> Table:
    scores = [row.score for row in rows]
    return Table(
        title="Means",
        header=("variant", "what it is", "mean (95 % interval)"),
        rows=tuple((Cell(variant), Cell(WORDS[variant]), Cell(mean_words(scores, variant))) for variant in SHOWN),
        names=2,
    )


def prompt_view(row: TableRow) -> PromptView:
    """Show a prompt with its gold answer and the worse answers that are rewarded at least as much."""
    texts = [_text(one) for one in (row.values[GOLD], *_listed(row.values[WORSE]))]
    over = [(one, text) for one, text in zip(row.worse, texts[1:], strict=True) if one.reward >= row.gold.reward]
    prompt = row.values.get(PROMPT)
    value = row.score.values[Variant.SEAM]
    assert value is not None, row.id
    return PromptView(
        id=str(row.id),
        score=f"SEAM {value:.3f}, {plural(len(row.worse), 'worse answer')}",
        prompt=shortened(_prompt_text(prompt), LONGEST_TEXT),
        answers=(
            _answer("gold answer", row.gold, texts[0]),
            *(_answer("worse answer", one, text) for one, text in sorted(over, key=lambda pair: -pair[0].reward)[:3]),
        ),
    )


def _prompt_text(prompt: object) -> str:
    """Return a prompt as text: itself, or the contents of its messages."""
    if isinstance(prompt, str):
        return prompt
    turns = [cast(dict[str, object], turn) for turn in _listed(prompt) if isinstance(turn, dict)]
    return "\n\n".join(str(turn.get("content", "")) for turn in turns)


def _answer(what: str, one: Response, text: str) -> AnswerView:
    numbers = f"reward {one.reward:.3g}, {one.per_token:.3g} nats a token, {plural(one.tokens, 'token')}"
    return AnswerView(what=what, numbers=numbers, text=shortened(text, LONGEST_TEXT))


def _text(value: object) -> str:
    """Return the text of an answer, or "" if the table has none."""
    text = value.get(TEXT) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return text if isinstance(text, str) else ""


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
