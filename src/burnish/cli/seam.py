"""The commands about reward models and policies together: seam score, seam select."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from burnish.cli.common import JSON, main, print_json, settled

_PATH = click.Path(path_type=Path)


@main.group("seam")
def seam() -> None:
    """Measure how well a reward model fits a policy, and choose the prompts to train the policy on."""


@seam.command("score")
@click.argument("data", metavar="TABLE")
@click.option("--out", type=_PATH, metavar="FOLDER", help="Folder for the scores and a report page.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier scoring in --out.")
@click.option("--top", type=click.IntRange(0, 10**9), default=10, show_default=True, help="How many prompts to print.")
@JSON
@settled
def score_command(data: str, **options: Any) -> None:
    """Score prompts: how likely the policy is to write what the reward model misjudges.

    TABLE is a JSONL file. Each line has an id, the gold answer and worse answers of a prompt, each with its reward, its
    log-probability under the policy (the sum over the answer and its end, in nats) and its number of tokens (the end
    counts): {"id": ..., "gold": {"reward": ..., "logprob": ..., "tokens": ...}, "worse": [{...}, ...]}.

    SEAM of a prompt is the share of worse answers that are rewarded over the gold answer, weighted by how likely the
    policy is to write them. A prompt without worse answers has no score.
    """
    from burnish.seam.results import as_json, warnings, words, write_results  # noqa: PLC0415
    from burnish.seam.selecting import check_out  # noqa: PLC0415
    from burnish.seam.table import read_table  # noqa: PLC0415

    if options["out"] is not None:
        check_out(options["out"], options["overwrite"])
    rows = read_table(Path(data))
    for line in warnings(rows):
        click.echo(line, err=True)
    if options["out"] is not None:
        click.echo(f"report: {write_results(rows, options['out'], data)}", err=True)
    if options["as_json"]:
        print_json(as_json([row.score for row in rows]))
        return
    for line in words(rows, options["top"]):
        click.echo(line)


@seam.command("select")
@click.argument("table", type=_PATH)
@click.option("--keep", type=float, metavar="SHARE", help="Keep this share of the prompts: those with the lowest SEAM.")
@click.option(
    "--drop", type=float, metavar="SHARE", help="Drop this share of the prompts: those with the highest SEAM."
)
@click.option(
    "--by",
    type=click.Choice(["seam", "count", "gold", "margin", "sequence"]),
    default="seam",
    show_default=True,
    help="The variant of the score.",
)
@click.option(
    "--order",
    type=click.Choice(["lowest", "highest", "random"]),
    default="lowest",
    show_default=True,
    help="Which prompts to keep. highest and random are controls for experiments.",
)
@click.option(
    "--stratify",
    metavar="COLUMN",
    help="Keep the same share at each difficulty. COLUMN of the table has numbers. `likelihood` takes the policy's "
    "log-probability of the gold answer.",
)
@click.option("--strata", type=int, default=5, show_default=True, help="The number of levels of difficulty.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides between prompts with equal scores.")
@click.option(
    "--data", metavar="DATA", help="Copy the kept rows from this dataset [default: the prompts of the table]."
)
@click.option("--out", type=_PATH, default=Path("selected"), show_default=True, help="Folder for all results.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier selection in --out.")
@JSON
@settled
def select_command(table: Path, **options: Any) -> None:
    """Choose the prompts to train a policy on, by their SEAM scores.

    TABLE is what `burnish seam score` reads or writes. Prompts are compared by rank, and only with prompts of the same
    source, because scores of different sources have different levels. Prompts without a score are kept and counted.

    The folder gets `kept.jsonl`, the prompts in the form that TRL's trainers read, and `ledger.jsonl`, which says for
    every row whether it was kept and why.
    """
    from burnish.algorithms.seam import Variant  # noqa: PLC0415
    from burnish.algorithms.seam_selection import SelectionOrder  # noqa: PLC0415
    from burnish.seam.selecting import SelectOptions, check_out, select, share_to_keep  # noqa: PLC0415
    from burnish.seam.table import read_table  # noqa: PLC0415

    chosen = SelectOptions(
        keep=share_to_keep(options["keep"], options["drop"]),
        by=Variant(options["by"]),
        order=SelectionOrder(options["order"]),
        stratify=options["stratify"],
        strata=options["strata"],
        seed=options["seed"],
        data=options["data"],
    )
    check_out(options["out"], options["overwrite"])
    summary = select(read_table(table), chosen, options["out"])
    if options["as_json"]:
        print_json(dataclasses.asdict(summary))
        return
    for line in summary.words():
        click.echo(line)
    click.echo(f"wrote {options['out']}", err=True)
