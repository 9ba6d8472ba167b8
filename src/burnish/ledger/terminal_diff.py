"""`diff` and `show` on a terminal: two columns, changed words coloured, escape codes taken out of what models wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from burnish.ledger.diff_page import cut, sureness
from burnish.ledger.history import Entry, History, ShownChange
from burnish.ledger.marking import MOST_WORDS, Piece, marked
from burnish.report.text import terminal
from burnish.types import Reason

PLAIN_WIDTH = 140
"""Columns where nothing says how wide the output is: a pipe or a file."""
LONGEST_TEXT, LONGEST_REQUEST = 2_000, 400
_GONE, _COME = ("red", "[-", "-]"), ("green", "{+", "+}")


def console() -> Console:
    """Return where data goes: stdout, as wide as the terminal, 140 columns off one."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def print_changes(out: Console, shown: Iterable[ShownChange]) -> None:
    """Print changes one below the other."""
    for change in shown:
        parts = [f"round {change.round}", change.where, change.example_id, sureness(change)]
        parts += ["taken back since"] if change.reverted else []
        out.print(Text(terminal(" · ".join(filter(None, parts))), style="bold"))
        out.print(_request(change.request))
        out.print(_sides(out, change.before, change.after, ("before", "after")))
        out.print()


def print_history(out: Console, found: History) -> None:
    """Print all that happened to a row."""
    out.print(Text(terminal(f"{found.where} · {found.example_id}"), style="bold"))
    out.print(_request(found.request))
    out.print()
    for entry in found.entries:
        out.print(Text(f"round {entry.round}: {entry.why}", style="bold"))
        if entry.reason is Reason.REVERTED:
            out.print(_sides(out, entry.kept, entry.chosen, ("stood", "stands again")))
        else:
            out.print(Text(terminal(_judged(entry)), style="dim"))
            out.print(_sides(out, entry.kept, entry.proposed, ("label", "proposal")))
        out.print()
    if found.standing is None:
        out.print(Text("no round is done yet"))
        return
    out.print(Text("changed; it reads:" if found.changed else "stands as it came; it reads:", style="bold"))
    out.print(Text(harmless(found.standing, LONGEST_TEXT)))


def _judged(entry: Entry) -> str:
    parts = [
        f"P(proposal is better) {_number(entry.p_b_ab)} as it stands, {_number(entry.p_b_ba)} swapped",
        f"confidence {_number(entry.confidence)}",
        f"annotator {_known_as(entry.annotator)}",
        f"model {_known_as(entry.model)}",
    ]
    return " · ".join(parts[2:] if entry.p_b_ab is None and entry.p_b_ba is None else parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _known_as(fingerprint: str) -> str:
    """Write who it was; of a hash the first 8 digits tell enough."""
    return fingerprint[:8] if len(fingerprint) == 64 else fingerprint or "none"


def _request(text: str) -> Text:
    return Text(harmless(text, LONGEST_REQUEST), style="dim")


def _sides(out: Console, before: str, after: str, titles: tuple[str, str]) -> Table:
    found = marked(harmless(before, LONGEST_TEXT), harmless(after, LONGEST_TEXT))
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in titles:
        grid.add_column(ratio=1, overflow="fold")
    grid.add_row(*(Text(title, style="dim") for title in titles))
    colours = out.is_terminal and not out.no_color
    grid.add_row(_painted(found.before, _GONE, colours), _painted(found.after, _COME, colours))
    if found.whole:
        grid.add_row(Text(f"words beyond the first {MOST_WORDS} that differ are not matched", style="dim"))
    return grid


def _painted(pieces: Sequence[Piece], way: tuple[str, str, str], colours: bool) -> Text:
    """Colour what changed; where there are no colours, bracket it as wdiff does."""
    colour, opened, closed = way
    text = Text()
    for piece in pieces:
        if piece.changed:
            text.append(piece.text if colours else f"{opened}{piece.text}{closed}", style=colour)
        else:
            text.append(piece.text)
    return text


def harmless(text: str, limit: int) -> str:
    """Return a text without escape codes, cut to `limit` characters; lines and indents stay."""
    side = cut(text.replace("\r\n", "\n"), limit)
    lines = [_indent(line) + terminal(line) for line in side.text.split("\n")]
    rest = f" … ({side.rest:,} more characters)" if side.rest else ""
    return "\n".join(lines) + rest


def _indent(line: str) -> str:
    expanded = line.expandtabs(4)
    return " " * (len(expanded) - len(expanded.lstrip(" ")))
