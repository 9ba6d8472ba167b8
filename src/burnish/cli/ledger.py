"""The verbs of a refinement's folder: diff, revert, show, push."""

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


def _limit(given: int | None, default: int) -> int | None:
    """Return how many to show; 0 asks for all."""
    return (default if given is None else given) or None


@main.command("diff")
@_FOLDER
@click.option("--round", "round_", type=int, metavar="K", help="What round K accepted [default: all that stands].")
@click.option("--html", type=_PATH, metavar="FILE", help="Write a page with the changes side by side.")
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="Show N changes, 0: all [default: 20; page: 500]."
)
@JSON
@settled
def diff_command(folder: Path | None, round_: int | None, html: Path | None, limit: int | None, as_json: bool) -> None:
    """Show which labels a refinement changed, before and after.

    FOLDER is the --out of `burnish refine`; `.` or `refined` if left out.
    """
    from burnish.ledger.diff_page import write_diff  # noqa: PLC0415 (each verb imports what it needs)
    from burnish.ledger.history import changes  # noqa: PLC0415

    found = _folder(folder)
    if html is not None:
        shown = write_diff(found, round_, _limit(limit, _ON_PAGE), html)
        click.echo(f"{shown} changes: {html}", err=as_json)
    if html is not None and not as_json:
        return
    listed = changes(found, round_)
    if as_json:
        print_json({"total": len(listed), "changes": list(listed.first(_limit(limit, 0)))})
        return
    from burnish.ledger.terminal_diff import console, print_changes  # noqa: PLC0415

    print_changes(console(), listed.first(_limit(limit, _SHOWN)))
    shown = min(len(listed), _limit(limit, _SHOWN) or len(listed))
    more = "" if shown == len(listed) else "; --limit 0 shows all, --html FILE writes a page"
    click.echo(f"{shown} of {len(listed)} changes{more}", err=True)


@main.command("show")
@click.argument("places", metavar="[FOLDER] ID", nargs=-1, required=True)
@JSON
@settled
def show_command(places: tuple[str, ...], as_json: bool) -> None:
    """Show all that happened to the row ID: answers, verdicts, reasons, what was taken back.

    FOLDER is the --out of `burnish refine`; `.` or `refined` if left out.
    """
    from burnish.ledger.history import history  # noqa: PLC0415
    from burnish.ledger.terminal_diff import console, print_history  # noqa: PLC0415

    *folders, id_ = places
    if len(folders) > 1:
        raise click.UsageError(f"{len(places)} arguments found; give [FOLDER] ID")
    found = history(_folder(Path(folders[0]) if folders else None), id_)
    if as_json:
        print_json(found)
    else:
        print_history(console(), found)


@main.command("revert")
@_FOLDER
@click.option(
    "--round", "round_", type=int, metavar="K", help="Take back what round K changed, and later changes of it."
)
@click.option("--id", "ids", multiple=True, metavar="X", help="Give row X its first answer back; may be repeated.")
@settled
def revert_command(folder: Path | None, round_: int | None, ids: tuple[str, ...]) -> None:
    """Take changes back: a line in the ledger, and the dataset is written anew.

    FOLDER is the --out of `burnish refine`; `.` or `refined` if left out.
    """
    from burnish.ledger.reverting import revert  # noqa: PLC0415

    found = _folder(folder)
    count = revert(found.path, round_, ids)
    click.echo(f"{count} {'row' if count == 1 else 'rows'} taken back: {found.path / found.summary.data.file}")
    if found.summary.model is not None:
        click.echo("the model is of the labels before; the same `burnish refine` again trains one on these", err=True)


@main.command("push")
@click.argument("folder", type=_PATH)
@click.argument("repo", required=False)
@click.option("--to", type=_PATH, metavar="DIR", help="Write DIR/dataset and DIR/model instead, or before the upload.")
@click.option("--private", is_flag=True, help="Make repositories that only you can see.")
@settled
def push_command(folder: Path, repo: str | None, to: Path | None, private: bool) -> None:
    """Upload the dataset to REPO (OWNER/NAME) on the hub and the model to REPO-model, each with its card."""
    from burnish.ledger.pushing import push  # noqa: PLC0415

    for place in push(folder, repo, to, private):
        click.echo(place)


def _folder(given: Path | None) -> Folder:
    """Return a refinement's folder: the given one, else the working directory or `refined` in it."""
    from burnish.errors import ConfigError  # noqa: PLC0415
    from burnish.ledger.folder import Folder  # noqa: PLC0415
    from burnish.ledger.summary import SUMMARY  # noqa: PLC0415

    places = [given] if given is not None else [Path(), Path("refined")]
    for place in places:
        if given is not None or (place / SUMMARY).is_file():
            folder = Folder(place)
            _ = folder.summary  # raises where it is none
            return folder
    raise ConfigError(f"FOLDER: neither . nor refined holds a {SUMMARY}; give the folder that `burnish refine` wrote")
