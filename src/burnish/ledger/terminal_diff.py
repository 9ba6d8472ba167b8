"""`diff` and `show` on a terminal: two columns with changed words in colour. Escape codes in the texts of models are
removed."""

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
"""Width in columns where none is known: for a pipe or a file."""
LONGEST_TEXT, LONGEST_REQUEST = 2_000, 400
"""How many characters of an answer are shown, and how many of a prompt."""
_GONE, _COME = ("red", "[-", "-]"), ("green", "{+", "+}")
"""Colour and brackets of words that are gone, and of words that are new."""


def console() -> Console:
    """Return the console that prints data on stdout. It is as wide as the terminal, or 140 columns if there is none."""
    # Rich would otherwise colour numbers and quotes inside the texts.
    stdout = Console(highlight=False)
    return stdout if stdout.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def print_changes(out: Console, shown: Iterable[ShownChange]) -> None:
    """Print changes one below the other."""
    for change in shown:
        parts = [f"round {change.round}", change.where, change.example_id, sureness(change)]
        parts += ["taken back since"] if change.reverted else []
        out.print(Text(terminal(" · ".join(filter(None, parts))), style="bold"))
        out.print(_request(change.request))
        out.print(_sides(out, change.before, change.after, ("before", "after")))
        out.print()


def print_history(out: Console, row: History) -> None:
    """Print everything that happened to a row."""
    out.print(Text(terminal(f"{row.where} · {row.example_id}"), style="bold"))
    out.print(_request(row.request))
    out.print()
    for entry in row.entries:
        out.print(Text(f"round {entry.round}: {entry.why}", style="bold"))
        if entry.reason is Reason.REVERTED:
            out.print(_sides(out, entry.kept, entry.chosen, ("before", "after")))
        else:
            out.print(Text(terminal(_judged(entry)), style="dim"))
            out.print(_sides(out, entry.kept, entry.proposed, ("label", "proposal")))
        out.print()
    if row.standing is None:
        held = "the row was held out: it is never trained on, compared or changed"
        out.print(Text(held if row.held_out else "no round is done yet"))
        return
    out.print(Text("changed; its label now:" if row.changed else "not changed; its label:", style="bold"))
    out.print(Text(harmless(row.standing, LONGEST_TEXT)))


def _judged(entry: Entry) -> str:
    """Return who judged a proposal, and how, as one line."""
    parts = [
        f"P(proposal is better) {_number(entry.p_b_ab)} with the label first, {_number(entry.p_b_ba)} with the "
        "proposal first",
        f"confidence {_number(entry.confidence)}",
        f"annotator {_known_as(entry.annotator)}",
        f"model {_known_as(entry.model)}",
    ]
    # Rows that were not compared have no probabilities, so the first two parts are left out.
    return " · ".join(parts[2:] if entry.p_b_ab is None and entry.p_b_ba is None else parts)


def _number(value: float | None) -> str:
    """Return a number with two decimals, or a dash if there is none."""
    return "–" if value is None else f"{value:.2f}"


def _known_as(fingerprint: str) -> str:
    """Return who it was. Of a fingerprint (64 hex digits) the first 8 digits are enough."""
    return fingerprint[:8] if len(fingerprint) == 64 else fingerprint or "none"


def _request(text: str) -> Text:
    """Return the prompt, cut and dimmed."""
    return Text(harmless(text, LONGEST_REQUEST), style="dim")


def _sides(out: Console, before: str, after: str, titles: tuple[str, str]) -> Table:
    """Return two texts side by side, with the words that differ marked."""
    pieces = marked(harmless(before, LONGEST_TEXT), harmless(after, LONGEST_TEXT))
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in titles:
        # `fold` breaks a word that is wider than its column, so that nothing is hidden.
        grid.add_column(ratio=1, overflow="fold")
    grid.add_row(*(Text(title, style="dim") for title in titles))
    # The variable NO_COLOR switches colours off. Rich reads it.
    colours = out.is_terminal and not out.no_color
    grid.add_row(_painted(pieces.before, _GONE, colours), _painted(pieces.after, _COME, colours))
    if pieces.whole:
        grid.add_row(Text(f"words after the first {MOST_WORDS} that differ are not matched", style="dim"))
    return grid


def _painted(pieces: Sequence[Piece], style: tuple[str, str, str], colours: bool) -> Text:
    """Colour the words that changed. Without colours, put them in brackets as the program wdiff does."""
    colour, opened, closed = style
    text = Text()
    for piece in pieces:
        if piece.changed:
            text.append(piece.text if colours else f"{opened}{piece.text}{closed}", style=colour)
        else:
            text.append(piece.text)
    return text


def harmless(text: str, limit: int) -> str:
    """Return a text without escape codes, cut to `limit` characters. Line ends and indents stay."""
    # Windows line ends would else show as a mark at the end of every line.
    side = cut(text.replace("\r\n", "\n"), limit)
    # `terminal` removes white space at the beginning of a line, too, so the indent is put back.
    lines = [_indent(line) + terminal(line) for line in side.text.split("\n")]
    rest = f" … ({side.rest:,} more characters)" if side.rest else ""
    return "\n".join(lines) + rest


def _indent(line: str) -> str:
    """Return the indent of a line as spaces. A tab counts to the next multiple of four columns."""
    expanded = line.expandtabs(4)
    return " " * (len(expanded) - len(expanded.lstrip(" ")))
