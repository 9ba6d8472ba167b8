"""The verbs of a practitioner: refine, selftest."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from burnish.cli.common import JSON, SET, STORE, main, print_json, settled
from burnish.errors import Paused


@main.command("refine")
@click.argument("data")
@click.option("--model", required=True, help="Base model: a folder, a GGUF file, a hub id or builtin:NAME.")
@click.option("--annotator", help="A YAML file, or people, oracle:COLUMN, classifier:MODEL, command:PROGRAM, ...")
@click.option("--rounds", type=int, help="Rounds of refinement [default: 2; clear 1, naive 4].")
@click.option("--alpha", type=float, help="At most this share of all rows changes in a round [default: 0.15].")
@click.option(
    "--method",
    type=click.Choice(["ilr", "naive", "clear", "majority", "verified"]),
    default="ilr",
    show_default=True,
    help="How proposals are made and chosen.",
)
@click.option(
    "--accept",
    type=click.Choice(["mean", "both-orders"]),
    help="A pair is shown in two orders. Accept by their mean, or only what each order prefers [default: both-orders].",
)
@click.option(
    "--gate", type=float, help="The least P(the proposal is better) that is accepted [default: 0.5; clear 0.8]."
)
@click.option("--checker", help="The program that --method verified asks, with its arguments.")
@click.option(
    "--differs",
    help="Which answers differ: text, number, embedding:MODEL, embedding_server:MODEL or command:PROGRAM "
    "[default: text].",
)
@click.option("--reference", help="A column with right answers, to measure by.")
@click.option(
    "--columns",
    help="Which columns hold the parts of a row: prompt=NAME,completion=NAME or messages=NAME; also context, system "
    "and history.",
)
@click.option("--extra-columns", help="Columns that are known to be extras and are not read: NAME,NAME,...")
@click.option("--template", help="paper, chat, or a file with a Jinja chat template [default: the tokenizer's own].")
@click.option("--comparisons", type=int, help="At most so many comparisons a round.")
@click.option("--audit", type=int, help="Judge up to so many accepted changes of each round again.")
@click.option("--audit-by", help="Who audits: people, oracle:COLUMN or command:PROGRAM [default: people].")
@click.option("--max-harm", type=float, help="Accept a round only if at most this share of its changes is harmed.")
@click.option("--max-calls", type=int, help="Stop before a judge's server has answered more calls than this.")
@click.option("--max-cost", type=float, help="Stop before the judge has cost more than this.")
@click.option("--on-bad-row", type=click.Choice(["error", "skip"]), help="What to do with rows that cannot be used.")
@click.option("--no-selftest", is_flag=True, help="Plant no pairs before the start.")
@click.option("--go-on", is_flag=True, help="Go on whatever the self-test says.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("refined"), show_default=True, help="Where everything goes."
)
@click.option(
    "--also-as",
    type=click.Choice(["parquet", "csv"]),
    multiple=True,
    help="Write the refined dataset as this kind of file, too; may be given twice.",
)
@click.option("--overwrite", is_flag=True, help="Replace another refinement in --out.")
@click.option("--dry-run", is_flag=True, help="Print the plan and what it would cost; spend nothing.")
@STORE
@SET
@JSON
@settled
def refine_command(data: str, **options: Any) -> None:
    """Refine the finetuning dataset DATA: a better one comes out, with a reason for every changed row.

    DATA is a JSONL, JSON, Parquet, CSV or TSV file or a hub dataset id, with rows of messages or conversations, prompt
    and completion, question and answer, instruction, input and output, or instruction, context and response; other
    names are given with --columns. The same command goes on after any crash.
    """
    from burnish.forms.convert import AlsoAs  # noqa: PLC0415
    from burnish.lab.running import default_store  # noqa: PLC0415
    from burnish.refinery import Ways, refine_data  # noqa: PLC0415
    from burnish.refinery.options import Options, config_of  # noqa: PLC0415
    from burnish.services.calls import Budget  # noqa: PLC0415 (each verb imports what it needs: --help stays fast)

    names = {field.name for field in dataclasses.fields(Options)}
    config = config_of(Options(data=data, **{name: options[name] for name in names - {"data"}}))
    budget = Budget(max_calls=options["max_calls"], max_cost=options["max_cost"])
    ways = Ways(
        out=options["out"],
        store=options["store"] or default_store(),
        budget=budget,
        overwrite=options["overwrite"],
        also=tuple(map(AlsoAs, options["also_as"])),
    )
    if options["dry_run"]:
        _print_plan(config, ways, options["as_json"])
        return
    try:
        finished = refine_data(config, ways)
    except Paused as paused:
        again = shlex.join(["burnish", *sys.argv[1:]])
        raise Paused(paused.message, "\n".join(filter(None, [paused.command, again]))) from None
    if options["as_json"]:
        print_json(finished.summary.model_dump(mode="json"))
        return
    from burnish.refinery.words import closing  # noqa: PLC0415

    for line in closing(finished):
        click.echo(line)


def _print_plan(config: Any, ways: Any, as_json: bool) -> None:
    from burnish.refinery.dry_run import dry_run, words  # noqa: PLC0415

    plan = dry_run(config, ways)
    if as_json:
        print_json(dataclasses.asdict(plan))
        return
    for line in words(plan):
        click.echo(line)


@main.command("selftest")
@click.argument("annotator")
@click.option("--data", help="A dataset whose rows are used [default: some rows that come with burnish].")
@click.option(
    "--pairs", "labelled", type=click.Path(path_type=Path), help="A JSONL file of pairs of which the better is known."
)
@click.option("--rows", type=int, default=24, show_default=True, help="Rows from which pairs are planted.")
@click.option("--limit", type=int, help="Use so many of the labelled pairs, the first by hash.")
@click.option(
    "--min-accuracy",
    "least",
    type=click.FloatRange(0, 1),
    default=0.6,
    show_default=True,
    help="Exit with 1 below this accuracy, as `refine` stops below selftest.min_accuracy.",
)
@click.option("--max-calls", type=int, help="Stop before a judge's server has answered more calls than this.")
@click.option("--max-cost", type=float, help="Stop before the judge has cost more than this.")
@STORE
@SET
@JSON
@settled
def selftest_command(annotator: str, **options: Any) -> None:
    """Ask ANNOTATOR (a YAML file or a short form, as in `refine`) about planted pairs, before any money is spent.

    The exit code is 0 where the annotator can be used and 1 where `refine` would stop. With --data and the same store,
    `refine` takes over what was asked.
    """
    from burnish.lab.running import default_store  # noqa: PLC0415
    from burnish.selftest.asking import judgement, unusable  # noqa: PLC0415 (each verb imports what it needs)
    from burnish.selftest.verb import Trial, try_out  # noqa: PLC0415

    names = {field.name for field in dataclasses.fields(Trial)}
    trial = Trial(annotator=annotator, **{name: options[name] for name in names - {"annotator"}})
    report = try_out(trial, options["store"] or default_store())
    fails = unusable(report, options["least"]) is not None
    if options["as_json"]:
        print_json({**report.model_dump(mode="json"), "usable": not fails})
    else:
        for line in (*report.words(), "", judgement(report, options["least"])):
            click.echo(line)
    if fails:
        sys.exit(1)
