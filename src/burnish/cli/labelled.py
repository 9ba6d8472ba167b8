"""The command for answers from other labelling tools: study import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from burnish.cli.common import settled
from burnish.cli.study import study

_PATH = click.Path(path_type=Path)


@study.command("import")
@click.argument("file", type=_PATH)
@click.option("--to", type=_PATH, metavar="FOLDER", help="Folder for pairs.jsonl, annotations.jsonl and labels.jsonl.")
@click.option(
    "--into",
    type=_PATH,
    metavar="FOLDER",
    help="Folder of the refinement or run whose pairs were judged: add the answers there.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="PART=NAME",
    help="The column of a part of a pair: prompt, first, second or id. May be repeated.",
)
@click.option("--question", metavar="NAME", help="The question or tag that has the verdict, if there are several.")
@click.option("--points", type=int, default=7, show_default=True, metavar="N", help="Points of a rating: from 1 to N.")
@settled
def import_command(
    file: Path, to: Path | None, into: Path | None, columns: Sequence[str], question: str | None, points: int
) -> None:
    """Read pairs and answers that were exported from Label Studio or Argilla.

    FILE is a JSON export of Label Studio, or the records of an Argilla dataset as JSON. With --to, its pairs can be the
    items of a new study, and its answers can be given to `burnish agreement`.
    """
    from burnish.people.labelled.judged_pairs import PairLayout  # noqa: PLC0415
    from burnish.people.labelled.taking import answer_waiting, read_judged, write_imported  # noqa: PLC0415

    _check_one(to, into)
    pairs = read_judged(file, PairLayout(columns=_named(columns), question=question, points=points))
    if into is not None:
        done, place = answer_waiting(pairs, into), into
    else:
        assert to is not None
        done, place = write_imported(pairs, to), to
    click.echo(f"{done.pairs} pairs, {done.answers} new answers: {place}")


def _check_one(to: Path | None, into: Path | None) -> None:
    from burnish.errors import ConfigError  # noqa: PLC0415

    if (to is None) == (into is None):
        raise ConfigError("--to and --into: give one of them: a new folder, or that of a refinement that waits")


def _named(columns: Sequence[str]) -> dict[str, str]:
    from burnish.errors import ConfigError  # noqa: PLC0415

    named: dict[str, str] = {}
    for text in columns:
        part, _, name = (piece.strip() for piece in text.partition("="))
        if not part or not name or part in named:
            raise ConfigError(f"--column: {text!r:.100} found; write each part once, such as --column first=response_a")
        named[part] = name
    return named
