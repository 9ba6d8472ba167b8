"""The results of `burnish seam score`: as JSON, as lines for a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from burnish.algorithms.seam import SHOWN, PromptScore, Variant, means
from burnish.report.text import NONE, plural, terminal
from burnish.seam.table import PROMPT, TableRow, all_equal
from burnish.stats import mean_interval, share_over_items
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line

TABLE_FILE, SCORES_FILE, REPORT_FILE = FILES = ("table.jsonl", "scores.jsonl", "report.html")
"""The files in the folder of `burnish seam score`, in the order in which they are written."""
WORDS = {
    Variant.SEAM: "weighted by likelihood",
    Variant.COUNT: "equal weights",
    Variant.GOLD: "the gold answer among the weights",
    Variant.MARGIN: "mean excess of reward",
    Variant.SEQUENCE: "weighted by whole answers",
}
"""What each variant is called where people read it."""


def as_json(scores: Sequence[PromptScore]) -> dict[str, Any]:
    """Return what `--json` prints: the scores of each prompt, their means, and how many prompts have none."""
    found = means(scores)
    return {
        "rows": [plain(score) for score in scores],
        "mean": {str(variant): found.values[variant] for variant in SHOWN},
        "undefined": found.undefined,
    }


def plain(score: PromptScore) -> dict[str, Any]:
    """Return the scores of a prompt as a row of a file. A prompt without worse answers has null for each."""
    return {"id": score.id} | {str(variant): score.values[variant] for variant in SHOWN}


def riskiest(rows: Sequence[TableRow], top: int) -> list[TableRow]:
    """Return the rows with the highest SEAM, at most `top` of them. Rows without a score are left out."""
    found = [(value, row) for row in rows if (value := row.score.values[Variant.SEAM]) is not None]
    # Rows of one score keep the order of the file, because `sorted` is stable.
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])[:top]]


def words(rows: Sequence[TableRow], top: int) -> Iterator[str]:
    """Yield the lines that people read: the means with their intervals, and the prompts with the highest SEAM."""
    scores = [row.score for row in rows]
    undefined = sum(not score.defined for score in scores)
    yield f"{plural(len(rows), 'prompt')}, {undefined:,} without a worse answer (no score)"
    for variant in SHOWN:
        yield f"{variant:<7} {mean_words(scores, variant)}   {WORDS[variant]}"
    if shown := riskiest(rows, top):
        yield "highest SEAM:"
    for row in shown:
        score = row.score.values[Variant.SEAM]
        prompt = row.values.get(PROMPT)
        text = f"  {terminal(prompt)[:80]}" if isinstance(prompt, str) else ""
        yield f"  {score:.4f}  {terminal(str(row.id))}{text}"


def mean_words(scores: Sequence[PromptScore], variant: Variant) -> str:
    """Return the mean of a variant with its 95 % interval over prompts, or a dash if no prompt has a score.

    The margin is no share. It has a t interval from 0 upwards, and none if all prompts have the same.
    """
    found = [value for score in scores if (value := score.values[variant]) is not None]
    if not found:
        return NONE
    interval = mean_interval(found) if variant is Variant.MARGIN else share_over_items(found)
    if interval.ci95 is None:
        return f"{interval.value:.4f}"
    return f"{interval.value:.4f} ({max(interval.ci95[0], 0.0):.4f} to {interval.ci95[1]:.4f})"


def warnings(rows: Sequence[TableRow]) -> Iterator[str]:
    """Yield what a user should know before believing the scores."""
    if (reward := all_equal(rows)) is not None:
        yield (
            # Plus 0, so that a reward of -0 is shown as 0.
            f"warning: every answer has the reward {reward + 0:g}, so the reward model tells nothing apart and each "
            "score is one half or undefined; check the reward model"
        )
    if rows and not any(row.worse for row in rows):
        yield "warning: no prompt has a worse answer, so no prompt has a score; use another source of worse answers"
    sources = sorted({row.source for row in rows if row.source})
    if len(sources) > 1:
        yield (
            f"warning: the table has worse answers of {len(sources)} sources ({', '.join(map(terminal, sources))}); "
            "scores of different sources have different levels, so their mean says little"
        )


def drop_other_table(folder: Path, table: Path) -> None:
    """Remove the table of an earlier scoring from a folder. Scores of another `table` must not lie beside it."""
    earlier = folder / TABLE_FILE
    if earlier.is_file() and not earlier.samefile(table):
        earlier.unlink()


def write_table(rows: Sequence[TableRow], folder: Path) -> Path:
    """Write a table that was computed into a folder, and return its path."""
    write_atomic(folder / TABLE_FILE, b"".join(dump_line(row.values) for row in rows))
    return folder / TABLE_FILE
