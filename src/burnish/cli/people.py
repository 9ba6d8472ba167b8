"""The commands for people who judge pairs: annotate export, annotate import."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from burnish.cli.common import main, settled

_PATH = click.Path(path_type=Path)


@main.group("annotate")
def annotate() -> None:
    """Let people judge, in a file, the pairs that wait for them."""


@annotate.command("export")
@click.argument("folder", type=_PATH)
@click.option("--to", type=_PATH, required=True, metavar="FILE", help="File for the pairs: .csv or .jsonl.")
@click.option(
    "--overwrite", is_flag=True, help="Replace an existing file. Verdicts that were filled in there are lost."
)
@settled
def export_command(folder: Path, to: Path, overwrite: bool) -> None:
    """Write the pairs in FOLDER that wait for people to a file.

    Fill in the column `verdict` with 1, 2, tie or skip. Then read the file with `burnish annotate import`.
    """
    from burnish.people.sheet import export  # noqa: PLC0415

    _check_folder(folder)

    # The hints go to stderr and the result to stdout, as in every command.
    count = export(folder, to, overwrite)
    click.echo(f"{count} pairs: {to}")
    click.echo("fill in the column `verdict` with 1, 2, tie or skip; then", err=True)
    click.echo(f"  {shlex.join(['burnish', 'annotate', 'import', str(folder), str(to)])}", err=True)


@annotate.command("import")
@click.argument("folder", type=_PATH)
@click.argument("file", type=_PATH)
@click.option(
    "--by",
    default="user",
    show_default=True,
    metavar="NAME",
    help="Name of the person who judged. If several people judge a pair, they vote.",
)
@settled
def import_command(folder: Path, file: Path, by: str) -> None:
    """Read the verdicts that people filled in, and add them to FOLDER.

    If one row cannot be read, no verdict of the file is added.
    """
    from burnish.people.sheet import import_  # noqa: PLC0415

    _check_folder(folder)

    done = import_(folder, file, by)
    click.echo(f"{done.added} verdicts read, {done.unchanged} known already, {done.blank} rows without a verdict")


def _check_folder(folder: Path) -> None:
    """Raise DataError if a folder belongs neither to a refinement nor to a run that asked people."""
    from burnish.ledger.summary import read_summary  # noqa: PLC0415
    from burnish.people.mailbox import ANNOTATIONS, WAITING  # noqa: PLC0415

    # Without this check, a mistyped path would look like a folder in which no pair waits.
    if not any((folder / name).is_file() for name in (WAITING, ANNOTATIONS)):
        read_summary(folder)
