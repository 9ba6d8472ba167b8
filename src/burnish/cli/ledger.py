"""The commands that work on a refinement's folder: diff, show, revert, push."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from burnish.cli.common import JSON, main, print_json, settled

if TYPE_CHECKING:
    from burnish.ledger.folder import Folder

_PATH = click.Path(path_type=Path)
_FOLDER = click.argument("folder", metavar="[FOLDER]", required=False, type=_PATH)
_SHOWN, _ON_PAGE = 20, 500
"""How many changes `diff` shows by default: on the terminal, and on a page."""


def _limit(requested: int | None, default: int) -> int | None:
    """Return how many changes to show: `requested`, or `default` if it is None. 0 asks for all and gives None."""
    return (default if requested is None else requested) or None


@main.command("diff")
@_FOLDER
@click.option(
    "--round",
    "round_",
    type=int,
    metavar="K",
    help="Show what round K accepted [default: all changes that still stand].",
)
@click.option("--html", type=_PATH, metavar="FILE", help="Write an HTML page with the changes side by side.")
@click.option(
    "--limit",
    type=click.IntRange(0, 10**9),
    metavar="N",
    help="Show at most N changes; 0 shows all [default: 20; with --html 500].",
)
@JSON
@settled
def diff_command(folder: Path | None, round_: int | None, html: Path | None, limit: int | None, as_json: bool) -> None:
    """Show which labels a refinement changed, before and after.

    FOLDER is the --out of `burnish refine`. If you leave it out, burnish looks in `.` and then in `refined`.
    """
    # Each command imports what it needs when it runs, so that `burnish --help` stays fast.
    from burnish.ledger.diff_page import write_diff  # noqa: PLC0415
    from burnish.ledger.history import changes  # noqa: PLC0415

    refinement = _folder(folder)
    if html is not None:
        shown = write_diff(refinement, round_, _limit(limit, _ON_PAGE), html)
        click.echo(f"{shown} changes: {html}", err=as_json)
    # With --json, the page is written and the changes are printed, too.
    if html is not None and not as_json:
        return
    all_changes = changes(refinement, round_)
    if as_json:
        # A program gets all changes unless it asks for fewer.
        print_json({"total": len(all_changes), "changes": list(all_changes.first(_limit(limit, 0)))})
        return
    from burnish.ledger.terminal_diff import console, print_changes  # noqa: PLC0415

    print_changes(console(), all_changes.first(_limit(limit, _SHOWN)))
    shown = min(len(all_changes), _limit(limit, _SHOWN) or len(all_changes))
    # The count goes to stderr, so that a pipe gets the changes alone.
    more = "" if shown == len(all_changes) else "; --limit 0 shows all, --html FILE writes a page"
    click.echo(f"{shown} of {len(all_changes)} changes{more}", err=True)


@main.command("show")
@click.argument("places", metavar="[FOLDER] [ID]", nargs=-1)
@click.option(
    "--limit",
    type=click.IntRange(0, 10**9),
    metavar="N",
    help="Without an ID, list at most N rows; 0 lists all [default: 20; with --json all].",
)
@JSON
@settled
def show_command(places: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Show everything that happened to the row ID. Without an ID, list the rows.

    The history of a row has the answers, the verdicts, the reasons, and what was taken back. The list has the changed
    rows first.

    FOLDER is the --out of `burnish refine`. If you leave it out, burnish looks in `.` and then in `refined`. A single
    argument is the FOLDER if it is a folder that holds a refinement, and else the ID.
    """
    from burnish.ledger.history import history  # noqa: PLC0415
    from burnish.ledger.terminal_diff import console, print_history  # noqa: PLC0415

    folder, id_ = _folder_and_id(places)
    if id_ is None:
        _list_rows(folder, limit, as_json)
        return
    row = history(folder, id_)
    if as_json:
        print_json(row)
    else:
        print_history(console(), row)


def _folder_and_id(places: tuple[str, ...]) -> tuple[Folder, str | None]:
    """Return the folder and the id that `show` was given. The id is None if it is left out."""
    from burnish.config.reading import is_file  # noqa: PLC0415
    from burnish.ledger.summary import SUMMARY  # noqa: PLC0415

    # An id may be longer than any name of a file, and the system then refuses to look for it.
    # Click cannot tell an optional argument from another one behind it, so the words are counted here.
    match places:
        case ():
            return _folder(None), None
        case (only,) if is_file(Path(only) / SUMMARY):
            return _folder(Path(only)), None
        case (id_,):
            return _folder(None, id_), id_
        case (folder, id_):
            return _folder(Path(folder)), id_
        case _:
            raise click.UsageError(f"{len(places)} arguments found; give [FOLDER] [ID]")


def _list_rows(folder: Folder, limit: int | None, as_json: bool) -> None:
    """Print the ids of the rows that have a history."""
    from burnish.ledger.listing import ListedRows, words  # noqa: PLC0415

    rows = ListedRows(folder)
    # A program gets all rows unless it asks for fewer.
    listed = rows.first(_limit(limit, 0 if as_json else _SHOWN))
    if as_json:
        print_json({"total": len(rows), "rows": listed})
        return
    for row in listed:
        click.echo(words(row))
    more = "" if len(listed) == len(rows) else "; --limit 0 lists all"
    hint = (
        "no row has a history before the first round is finished"
        if not listed
        else f"give one ID for its history{more}"
    )
    click.echo(f"{len(listed)} of {len(rows)} rows; {hint}", err=True)


@main.command("revert")
@_FOLDER
@click.option(
    "--round",
    "round_",
    type=int,
    metavar="K",
    help="Take back what round K changed, and all later changes of the same rows.",
)
@click.option(
    "--id", "ids", multiple=True, metavar="X", help="Give row X the answer back that it had at first. May be repeated."
)
@settled
def revert_command(folder: Path | None, round_: int | None, ids: tuple[str, ...]) -> None:
    """Take changes back and write the dataset again.

    The ledger gets a new line for each row that is taken back. No line is deleted from it.

    FOLDER is the --out of `burnish refine`. If you leave it out, burnish looks in `.` and then in `refined`.
    """
    from burnish.ledger.reverting import revert  # noqa: PLC0415

    refinement = _folder(folder)
    count = revert(refinement.path, round_, ids)
    click.echo(
        f"{count} {'row' if count == 1 else 'rows'} taken back: {refinement.path / refinement.summary.data.file}"
    )
    if refinement.summary.model is not None:
        click.echo(
            "the model was trained on the labels before this; run the same `burnish refine` again to train one on "
            "these",
            err=True,
        )


@main.command("push")
@click.argument("folder", type=_PATH)
@click.argument("repo", required=False)
@click.option(
    "--to", type=_PATH, metavar="DIR", help="Write DIR/dataset and DIR/model. Without REPO nothing is uploaded."
)
@click.option("--private", is_flag=True, help="Make the repositories private, so that only you can see them.")
@settled
def push_command(folder: Path, repo: str | None, to: Path | None, private: bool) -> None:
    """Upload the refined dataset and the model to the Hugging Face hub.

    The dataset goes to REPO (OWNER/NAME) and the model to REPO-model. Each gets a card that describes it.
    """
    from burnish.ledger.pushing import push  # noqa: PLC0415

    for place in push(folder, repo, to, private):
        click.echo(place)


def _folder(path: Path | None, id_: str | None = None) -> Folder:
    """Return a refinement's folder: `path`, or else the working directory or `refined` in it. Raises ConfigError if
    `path` is None and neither holds a refinement, DataError if `path` holds none. The error names `id_`, if it is the
    only word that the user typed."""
    from burnish.errors import ConfigError, brief  # noqa: PLC0415
    from burnish.ledger.folder import Folder  # noqa: PLC0415
    from burnish.ledger.summary import SUMMARY  # noqa: PLC0415

    candidates = [path] if path is not None else [Path(), Path("refined")]
    for candidate in candidates:
        if path is not None or (candidate / SUMMARY).is_file():
            folder = Folder(candidate)
            # Reading the summary raises DataError where the folder holds no refinement.
            _ = folder.summary
            return folder
    looked = f"neither . nor refined holds a {SUMMARY}; give the folder that `burnish refine` wrote"
    if id_ is not None:
        raise ConfigError(f"FOLDER: {brief(id_)} holds no {SUMMARY}, so it was taken for the ID of a row, but {looked}")
    raise ConfigError(f"FOLDER: {looked}")
