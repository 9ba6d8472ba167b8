"""The verbs of people who judge: annotate export, annotate import."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from burnish.cli.common import main, settled

_PATH = click.Path(path_type=Path)


@main.group("annotate")
def annotate() -> None:
    """Let people judge the pairs that wait for them, through a file."""


@annotate.command("export")
@click.argument("folder", type=_PATH)
@click.option("--to", type=_PATH, required=True, metavar="FILE", help="Where the pairs go: a .csv or .jsonl file.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there, with what was filled in.")
@settled
def export_command(folder: Path, to: Path, overwrite: bool) -> None:
    """Write the pairs that wait in FOLDER; fill in `verdict` with 1, 2, tie or skip."""
    from burnish.people.sheet import export  # noqa: PLC0415

    _check_folder(folder)

    count = export(folder, to, overwrite)
    click.echo(f"{count} pairs: {to}")
    click.echo("fill in the column `verdict` with 1, 2, tie or skip; then", err=True)
    click.echo(f"  {shlex.join(['burnish', 'annotate', 'import', str(folder), str(to)])}", err=True)


@annotate.command("import")
@click.argument("folder", type=_PATH)
@click.argument("file", type=_PATH)
@click.option(
    "--by", default="user", show_default=True, metavar="NAME", help="Who judged; several people vote on a pair."
)
@settled
def import_command(folder: Path, file: Path, by: str) -> None:
    """Read verdicts that were filled in into FOLDER; all of a file's rows, or none where one cannot be read."""
    from burnish.people.sheet import import_  # noqa: PLC0415

    _check_folder(folder)

    done = import_(folder, file, by)
    click.echo(f"{done.added} verdicts read, {done.unchanged} known already, {done.blank} rows without one")


def _check_folder(folder: Path) -> None:
    """Raise DataError where a folder is neither a refinement's nor that of a run which asked people."""
    from burnish.ledger.summary import read_summary  # noqa: PLC0415
    from burnish.people.mailbox import ANNOTATIONS, WAITING  # noqa: PLC0415

    if not any((folder / name).is_file() for name in (WAITING, ANNOTATIONS)):
        read_summary(folder)
