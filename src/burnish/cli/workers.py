"""The command that shows what runs where: workers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from burnish.cli.common import JSON, STORE, main, print_json, settled

if TYPE_CHECKING:
    from burnish.lab.watching import Watched
    from burnish.store.under_way import UnderWay


@main.command("workers")
@click.argument("place", metavar="[RUN_OR_STORE]", required=False, type=click.Path(path_type=Path))
@STORE
@JSON
@settled
def workers_command(place: Path | None, store: Path | None, as_json: bool) -> None:
    """Show which stages are being computed now, and where.

    RUN_OR_STORE is a results folder, whose run is looked up in the store, or a store itself. Without it, everything in
    the store is shown. Each process that computes a stage gives a sign of life every 10 seconds: the heartbeat. The
    progress is that of the last one.
    """
    from burnish.lab.watching import watched  # noqa: PLC0415
    from burnish.store.opening import default_store  # noqa: PLC0415

    found = watched(place, store or default_store())
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    if found.stages is not None:
        click.echo(f"{found.finished} of {found.stages} planned stages are finished")
    _print_table(found)


def _print_table(found: Watched) -> None:
    from rich.console import Console  # noqa: PLC0415

    from burnish.report.tables import Cell, Table, rich_table  # noqa: PLC0415

    if not found.attempts:
        click.echo("no stage is being computed")
        return
    header = ("stage", "host", "state", "process", "runs for", "heartbeat", "progress")
    rows = tuple(tuple(map(Cell, _cells(attempt))) for attempt in found.attempts)
    console = Console()
    # A pipe or a file has no width. Rich would break the lines of the table at 80 columns.
    wide = console if console.is_terminal else Console(width=200)
    wide.print(rich_table(Table(title="Workers", header=header, rows=rows, names=3)))


def _cells(attempt: UnderWay) -> list[str]:
    from burnish.report.text import duration  # noqa: PLC0415

    return [
        attempt.label or f"{attempt.stage} {attempt.digits[:8]}",
        attempt.host,
        str(attempt.life),
        "" if attempt.process is None else str(attempt.process),
        duration(attempt.seconds),
        f"{duration(attempt.beat)} ago",
        "" if attempt.total is None else f"{attempt.done:,} of {attempt.total:,}",
    ]
