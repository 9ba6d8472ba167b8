"""`burnish diff --html`: one self-contained page with the changes side by side. Words that changed are marked."""

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
"""How many characters of an answer the page shows. The dataset has the rest."""
LONGEST_REQUEST = 2_000
"""How many characters of a prompt the page shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A text that is cut to the page's limit. `rest` is the number of characters that were left out."""

    text: str
    rest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedChange:
    """A change in the form in which the page shows it."""

    change: ShownChange
    request: Side
    marked: Marked
    before_rest: int
    after_rest: int
    sureness: str


def write_diff(folder: Folder, round_: int | None, limit: int | None, to: Path) -> int:
    """Write a page with the first `limit` changes (None: all) and return how many it shows. Raises DataError if the
    ledger has no such round."""
    summary, listed = folder.summary, changes(folder, round_)
    shown = len(listed) if limit is None else min(limit, len(listed))
    page = environment().get_template("diff.html.j2")
    with replacing(to) as file:
        # In chunks and not as one text: a page of all changes can be larger than memory.
        for chunk in page.generate(
            name=summary.config.name,
            headline=headline(round_, listed, shown),
            changes=_views(listed, limit),
            most_words=MOST_WORDS,
            burnish_version=__version__,
        ):
            # A model may have written half of a surrogate pair, which has no form in UTF-8.
            file.write(chunk.encode("utf-8", errors="backslashreplace"))
    return shown


def headline(round_: int | None, listed: Changes, shown: int) -> str:
    """Say in a sentence how many changes there are and how many are shown."""
    what = "changed" if round_ is None else f"changed by round {round_}"
    part = "" if shown == len(listed) else f" The first {shown:,} are shown."
    return f"{plural(len(listed), 'label')} {what}.{part}"


def sureness(change: ShownChange) -> str:
    """Say how sure the annotator was that the new answer is better, in both orders if it saw both.

    After several changes, the number belongs to the last step: the new answer against the one just before it.
    """
    both = (change.p_b_ab, change.p_b_ba)
    mean = mean_of_orders(*both)
    if mean is None:
        return ""
    # An annotator whose verdict cannot depend on the order is asked in one order alone.
    orders = "" if None in both else f" ({both[0]:.2f} in one order, {both[1]:.2f} in the other)"
    # The probability does not compare the first and the last answer after several steps, so the text says so.
    last = "" if change.steps == 1 else f"{change.steps} changes, the last: "
    return f"{last}P(after is better) {mean:.2f}{orders}"


def cut(text: str, limit: int) -> Side:
    """Cut a text to `limit` characters and count what is left out."""
    return Side(text=text[:limit], rest=max(0, len(text) - limit))


def _views(listed: Changes, limit: int | None) -> Iterator[MarkedChange]:
    """Yield the changes in the form in which the page shows them."""
    for change in listed.first(limit):
        before, after = cut(change.before, LONGEST_TEXT), cut(change.after, LONGEST_TEXT)
        yield MarkedChange(
            change=change,
            request=cut(change.request, LONGEST_REQUEST),
            marked=marked(before.text, after.text),
            before_rest=before.rest,
            after_rest=after.rest,
            sureness=sureness(change),
        )
