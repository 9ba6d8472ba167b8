"""The commands for people who judge and label: annotate export, annotate import, agreement."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from burnish.cli.common import JSON, main, print_json, settled

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

    Fill in the column `verdict` with 1, 2, tie or skip, or the column `value` with a point from -3 (answer 1 is surely
    better) to 3 (answer 2 is), as on the pages of a study. Then read the file with `burnish annotate import`.
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
@click.option(
    "--points",
    type=int,
    default=7,
    show_default=True,
    metavar="N",
    help="Points of the scale in the column `value`: 7 for -3 to 3.",
)
@settled
def import_command(folder: Path, file: Path, by: str, points: int) -> None:
    """Read the verdicts that people filled in, and add them to FOLDER.

    If one row cannot be read, no verdict of the file is added.
    """
    from burnish.people.sheet import import_  # noqa: PLC0415

    _check_folder(folder)

    done = import_(folder, file, by, points)
    click.echo(f"{done.added} verdicts read, {done.unchanged} known already, {done.blank} rows without a verdict")


def _check_folder(folder: Path) -> None:
    """Raise DataError if a folder belongs neither to a refinement nor to a run that asked people."""
    from burnish.ledger.summary import read_summary  # noqa: PLC0415
    from burnish.people.mailbox import ANNOTATIONS, WAITING  # noqa: PLC0415

    # Without this check, a mistyped path would look like a folder in which no pair waits.
    if not any((folder / name).is_file() for name in (WAITING, ANNOTATIONS)):
        read_summary(folder)


@main.command("agreement")
@click.argument("file", type=_PATH)
@click.option(
    "--ordinal",
    metavar="A,tie,B",
    help="The labels from one end of their scale to the other, for the ordinal alpha [default: numbers by their size].",
)
@click.option("--labels", type=_PATH, metavar="FILE", help="Write one label for each item to this .csv or .jsonl file.")
@click.option(
    "--by",
    type=click.Choice(["vote", "dawid-skene", "one-coin"]),
    help="How these labels are found: by the most votes, by Dawid and Skene's model of the workers, or by its simple "
    "form with one number a worker [default: vote].",
)
@click.option(
    "--gold",
    type=_PATH,
    metavar="FILE",
    help="Labels of items whose right label is known, in a column `right`. Both models learn from them.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file at --labels.")
@JSON
@settled
def agreement_command(
    file: Path,
    ordinal: str | None,
    labels: Path | None,
    by: str | None,
    gold: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure how much the workers agree who labelled the same items.

    FILE is a CSV or JSONL file with one row for each label, in the columns item, worker and label. Other columns are
    ignored. A figure that is undefined is null, with the reason.
    """
    # Each command imports what it needs when it runs, so that `burnish --help` stays fast.
    from burnish.algorithms.agreement import agreement, cohen  # noqa: PLC0415
    from burnish.algorithms.label_table import label_table  # noqa: PLC0415
    from burnish.algorithms.per_worker import by_worker  # noqa: PLC0415
    from burnish.people.agreement_words import agreement_words  # noqa: PLC0415
    from burnish.people.label_file import GoldLabels, check_target, order_of, read_gold, read_labels  # noqa: PLC0415

    check_target(labels, by, overwrite, gold)
    given = read_labels(file, order := order_of(ordinal))
    known = GoldLabels() if gold is None else read_gold(gold, given, order)
    table = label_table(given, order)
    found = agreement(table)
    if as_json:
        print_json(found.as_json())
    else:
        for line in agreement_words(found, cohen(table), by_worker(given)):
            click.echo(line)
    if labels is not None:
        from burnish.algorithms.aggregation import dawid_skene, vote  # noqa: PLC0415
        from burnish.people.label_file import write_aggregated  # noqa: PLC0415

        aggregated = vote(table)
        if by in ("dawid-skene", "one-coin"):
            every = label_table([*given, *known.given], order)
            estimate = dawid_skene(every, known=known.right, one_coin=by == "one-coin")
            aggregated = tuple(one for one in estimate.labels if one.item not in known.right)
            if not estimate.converged:
                click.echo(f"warning: the estimate still changed after {estimate.steps:,} steps", err=True)
        count = write_aggregated(labels, aggregated, overwrite)
        click.echo(f"{count} labels: {labels}", err=as_json)
