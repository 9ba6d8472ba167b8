"""`burnish diff --html`: the changes side by side in one self-contained page, changed words marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish import __version__
from burnish.algorithms.ledger_lines import mean_of_orders
from burnish.ledger.folder import Folder
from burnish.ledger.history import Changes, ShownChange, changes
from burnish.ledger.marking import MOST_WORDS, Marked, marked
from burnish.report.page import environment
from burnish.report.text import plural
from burnish.store.files import replacing

LONGEST_TEXT = 20_000
"""Characters of an answer that a page shows; the dataset has the rest."""
LONGEST_REQUEST = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A text cut to the page's length, and how many characters were left out."""

    text: str
    rest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """A change as the page shows it."""

    change: ShownChange
    request: Side
    marked: Marked
    before_rest: int
    after_rest: int
    sureness: str


def write_diff(folder: Folder, round_: int | None, limit: int | None, to: Path) -> int:
    """Write the page of the first `limit` changes, all for None; returns how many it shows."""
    summary, found = folder.summary, changes(folder, round_)
    shown = len(found) if limit is None else min(limit, len(found))
    page = environment().get_template("diff.html.j2")
    with replacing(to) as file:
        for chunk in page.generate(
            name=summary.config.name,
            headline=headline(round_, found, shown),
            changes=_views(found, limit),
            most_words=MOST_WORDS,
            burnish_version=__version__,
        ):
            file.write(chunk.encode("utf-8", errors="backslashreplace"))
    return shown


def headline(round_: int | None, found: Changes, shown: int) -> str:
    """Say what is shown."""
    what = "changed" if round_ is None else f"changed by round {round_}"
    part = "" if shown == len(found) else f" The first {shown:,} are shown."
    return f"{plural(len(found), 'label')} {what}.{part}"


def sureness(change: ShownChange) -> str:
    """Say how sure the annotator was that the answer after is better, in both orders where it saw both.

    After several changes that was said against the answer before the last of them.
    """
    both = (change.p_b_ab, change.p_b_ba)
    mean = mean_of_orders(*both)
    if mean is None:
        return ""
    orders = "" if None in both else f" ({both[0]:.2f} in one order, {both[1]:.2f} in the other)"
    last = "" if change.steps == 1 else f"{change.steps} changes, the last: "
    return f"{last}P(after is better) {mean:.2f}{orders}"


def cut(text: str, limit: int) -> Side:
    """Cut a text, counting what is left out."""
    return Side(text=text[:limit], rest=max(0, len(text) - limit))


def _views(found: Changes, limit: int | None) -> Iterator[ChangeView]:
    for change in found.first(limit):
        before, after = cut(change.before, LONGEST_TEXT), cut(change.after, LONGEST_TEXT)
        yield ChangeView(
            change=change,
            request=cut(change.request, LONGEST_REQUEST),
            marked=marked(before.text, after.text),
            before_rest=before.rest,
            after_rest=after.rest,
            sureness=sureness(change),
        )
