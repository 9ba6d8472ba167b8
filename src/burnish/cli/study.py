"""The commands for studies in which people answer on pages: study new, status, export and others."""

from __future__ import annotations

import dataclasses
import shlex
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from burnish.cli.common import JSON, main, print_json, settled
from burnish.config.study import StudyKind

if TYPE_CHECKING:
    from burnish.people.study.folder import StudyFolder

_PATH = click.Path(path_type=Path)
KIND = click.Choice([str(kind) for kind in StudyKind])
_NOTES = click.option("--notes", is_flag=True, help="Write also the notes of people, which may say who they are.")


@main.group("study")
def study() -> None:
    """Let people write demonstrations or compare answers on web pages."""


def study_folder(path: Path) -> StudyFolder:
    """Return a study by the path of its folder, which is not looked at yet."""
    from burnish.people.study.folder import StudyFolder  # noqa: PLC0415

    return StudyFolder(path=path)


@study.command("new")
@click.argument("folder", type=_PATH)
@click.option(
    "--from",
    "source",
    type=_PATH,
    required=True,
    metavar="SOURCE",
    help="Folder of a refinement or run whose pairs wait for people, or a JSONL file.",
)
@click.option("--kind", type=KIND, required=True, help="What people do.")
@click.option("--settings", type=_PATH, metavar="FILE", help="YAML file with settings that differ from the defaults.")
@click.option("--items", type=click.IntRange(1), metavar="N", help="Take N items, drawn at random [default: all].")
@click.option(
    "--questions", type=_PATH, metavar="FILE", help="YAML file of check questions in place of the paper's questions."
)
@settled
def new_command(
    folder: Path, source: Path, kind: str, settings: Path | None, items: int | None, questions: Path | None
) -> None:
    """Make the folder of a new study.

    Its settings and texts are files that you can edit until the first person arrives.
    """
    from burnish.people.study import reading  # noqa: PLC0415
    from burnish.people.study.folder import new_study  # noqa: PLC0415
    from burnish.people.study.schema import opened  # noqa: PLC0415
    from burnish.report.text import plural  # noqa: PLC0415

    made = new_study(folder, source, StudyKind(kind), settings, items, questions)
    # Closing a connection that may write removes the files beside the database, which a reader would leave.
    with closing(opened(made.file)) as db:
        count = reading.counts(db, time.time()).items
    click.echo(f"{plural(count, 'item')}: {folder}")
    click.echo(f"edit study.yaml, questions.yaml and texts/ in {folder}; then", err=True)
    click.echo(f"  {shlex.join(['burnish', 'study', 'serve', str(folder)])}", err=True)


@study.command("status")
@click.argument("folder", type=_PATH)
@JSON
@settled
def status_command(folder: Path, as_json: bool) -> None:
    """Print the numbers of a study and its people."""
    from burnish.people.study import reading  # noqa: PLC0415
    from burnish.people.study.clock import is_simulated, now_of  # noqa: PLC0415
    from burnish.report.text import plural  # noqa: PLC0415

    with study_folder(folder).opened_to_read() as db:
        counts, people, simulated = reading.counts(db, now_of(db)), reading.sittings(db), is_simulated(db)
    if as_json:
        rows = [dataclasses.asdict(one) for one in people]
        print_json({**dataclasses.asdict(counts), "simulated": simulated, "people": rows})
        return
    if simulated:
        click.echo("the people of this study are simulated")
    extra = f", {counts.extra} of them more than wanted" if counts.extra else ""
    click.echo(
        f"{counts.state}: {counts.answered} of {counts.wanted} answers for {plural(counts.items, 'item')}{extra}"
    )
    click.echo(
        f"{counts.live} being worked on, {counts.free} free, {plural(counts.last_hour, 'answer')} in the last hour"
    )
    for one in people:
        verdict = f", {one.verdict}" if one.verdict else ""
        click.echo(f"{one.public}  {one.state}, {one.answered} of {one.planned} answered{verdict}")


def _set_state(folder: Path, state: str) -> None:
    from burnish.people.study.managing import set_state  # noqa: PLC0415
    from burnish.people.study.model import StudyState  # noqa: PLC0415
    from burnish.people.study.reaching import change  # noqa: PLC0415

    change(study_folder(folder), "/state", {"state": state}, lambda db: set_state(db, StudyState(state), time.time()))
    click.echo(f"{folder}: {state}")


@study.command("open")
@click.argument("folder", type=_PATH)
@settled
def open_command(folder: Path) -> None:
    """Let new people begin again after a pause."""
    _set_state(folder, "open")


@study.command("pause")
@click.argument("folder", type=_PATH)
@settled
def pause_command(folder: Path) -> None:
    """Let no new people begin. Whoever has begun can finish."""
    _set_state(folder, "paused")


@study.command("close")
@click.argument("folder", type=_PATH)
@settled
def close_command(folder: Path) -> None:
    """Close a study for good. Whoever has begun can finish."""
    _set_state(folder, "closed")


@study.command("export")
@click.argument("folder", type=_PATH)
@click.option(
    "--to", type=_PATH, metavar="FOLDER", help="Folder for the files [default: export in the study's folder]."
)
@click.option(
    "--into",
    type=_PATH,
    metavar="FOLDER",
    help="Folder of the refinement or run that waits: add the annotations there.",
)
@_NOTES
@settled
def export_command(folder: Path, to: Path | None, into: Path | None, notes: bool) -> None:
    """Write the answers of a study, without the ids of a platform."""
    from burnish.people.study.export import deliver, export_study  # noqa: PLC0415

    _check_one(to, into)
    with study_folder(folder).opened_to_read() as db:
        if into is not None:
            click.echo(f"{deliver(db, into, notes=notes)} new annotations: {into}")
            return
        exported = export_study(db, to or folder / "export", notes=notes)
    click.echo(f"{exported.answers} answers")
    for path in exported.files:
        click.echo(str(path))


@study.command("agreement")
@click.argument("folder", type=_PATH)
@JSON
@settled
def agreement_command(folder: Path, as_json: bool) -> None:
    """Measure how much the people of a study agree, as `burnish agreement` does.

    For each person, it also says how many seconds they took, how many of the check questions and gold pairs they
    answered right, and how often they preferred the answer that was shown first. Demonstrations have no agreement:
    it says how long people took, how much they wrote, and how many checks were right.
    """
    from burnish.people.study.agreeing import measured  # noqa: PLC0415

    with study_folder(folder).opened_to_read() as db:
        found = measured(db)
    if as_json:
        print_json(found.as_json())
        return
    for line in found.lines():
        click.echo(line)


def _check_one(to: Path | None, into: Path | None) -> None:
    from burnish.errors import ConfigError  # noqa: PLC0415

    if to is not None and into is not None:
        raise ConfigError("--to and --into are both given; give one of them")


@study.command("submissions")
@click.argument("folder", type=_PATH)
@click.argument("file", type=_PATH, required=False)
@click.option("--column", metavar="NAME", help="The column of FILE that holds the ids.")
@settled
def submissions_command(folder: Path, file: Path | None, column: str | None) -> None:
    """Print who took part, with the platform's ids, as CSV. This is for paying people.

    FILE is the list of submissions that the platform gives out (CSV or JSONL). Then the output also says who submitted,
    and has the submitted ids that never opened the link.
    """
    from burnish.people.study import reading  # noqa: PLC0415
    from burnish.people.study.submissions import as_csv, read_submitted, submissions  # noqa: PLC0415

    _check_column(file, column)
    submitted = None if file is None or column is None else read_submitted(file, column)
    with study_folder(folder).opened_to_read() as db:
        codes = reading.rules_of(db).codes
        names = {name: getattr(codes, name).code or "" for name in type(codes).model_fields}
        click.echo(as_csv(submissions(db, names, submitted)), nl=False)


def _check_column(file: Path | None, column: str | None) -> None:
    from burnish.errors import ConfigError  # noqa: PLC0415

    if (file is None) != (column is None):
        raise ConfigError("FILE and --column belong together; give both or none")


@study.command("forget")
@click.argument("folder", type=_PATH)
@click.argument("participant")
@click.option("--answers", is_flag=True, help="Delete also what the person wrote and chose.")
@settled
def forget_command(folder: Path, participant: str, answers: bool) -> None:
    """Delete what says who PARTICIPANT (such as p001) was."""
    from urllib.parse import quote  # noqa: PLC0415

    from burnish.people.study.managing import forget  # noqa: PLC0415
    from burnish.people.study.reaching import change  # noqa: PLC0415

    change(
        study_folder(folder),
        f"/people/{quote(participant, safe='')}/forget",
        {"answers": "yes"} if answers else {"answers": ""},
        lambda db: forget(db, participant, time.time(), answers=answers),
    )
    click.echo(f"{participant} is forgotten; delete old backups, too")


@study.command("backup")
@click.argument("folder", type=_PATH)
@click.option("--to", type=_PATH, required=True, metavar="FILE", help="File for the copy.")
@settled
def backup_command(folder: Path, to: Path) -> None:
    """Copy the answers of a study, also while it is served."""
    from burnish.people.study.reaching import backup  # noqa: PLC0415

    backup(study_folder(folder), to)
    click.echo(str(to))
