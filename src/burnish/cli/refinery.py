"""The commands for people who refine their own data: refine, rank, selftest."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click

from burnish.cli.common import COLUMNS, JSON, MAX_CALLS, MAX_COST, SET, STORE, main, print_json, settled


def _rounds(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Return the word auto or a number. Any other text is an error of usage."""
    return value if value is None or value == "auto" else click.INT(value, parameter, context)


@main.command("refine")
@click.argument("data")
@click.option("--model", help="The base model: a folder, a GGUF file, a hub id or builtin:NAME.")
@click.option(
    "--proposals",
    metavar="FILE|YAML",
    help="A file with proposals (JSONL, JSON, Parquet, CSV, TSV), or a YAML file that names a model on a server. Then "
    "no model has to be trained, and --model is optional.",
)
@click.option(
    "--annotator",
    help="Who compares answers: a YAML file, or people, oracle:COLUMN, classifier:MODEL, command:PROGRAM, ...",
)
@click.option(
    "--rounds",
    metavar="INTEGER|auto",
    callback=_rounds,
    help="Number of rounds, or auto: ilr ends when the annotator no longer knows [default: 2; for clear and "
    "robustft 1, for naive 4].",
)
@click.option("--alpha", type=float, help="The largest share of all rows that may change in a round [default: 0.15].")
@click.option(
    "--method",
    type=click.Choice(["ilr", "naive", "clear", "majority", "robustft", "verified"]),
    default="ilr",
    show_default=True,
    help="How new answers are proposed and chosen.",
)
@click.option(
    "--accept",
    type=click.Choice(["mean", "both-orders"]),
    help="A pair is shown in both orders. Accept what their mean prefers, or what each order prefers "
    "[default: both-orders].",
)
@click.option(
    "--gate",
    type=float,
    help="Accept a proposal only from this P(the proposal is better) on [default: 0.5; clear 0.8].",
)
@click.option("--checker", help="The program, with its arguments, that --method verified runs to check answers.")
@click.option(
    "--differs",
    help="How to tell whether two answers differ: text, number, embedding:MODEL, embedding_server:MODEL or "
    "command:PROGRAM "
    "[default: text].",
)
@click.option("--reference", help="A column with right answers. They are used to measure accuracy.")
@COLUMNS
@click.option(
    "--extra-columns",
    help="Columns that are not needed: NAME,NAME,... burnish no longer reports that it does not read them.",
)
@click.option(
    "--template",
    help="How rows become text: paper, chat, or a file with a Jinja chat template [default: the tokenizer's own].",
)
@click.option("--comparisons", type=int, help="The largest number of comparisons in a round.")
@click.option(
    "--holdout",
    type=int,
    help="Hold out the rows of this many prompts with a reference. Two models, trained on the labels before and after, "
    "answer them.",
)
@click.option("--audit", type=int, help="Judge up to this many accepted changes of each round a second time.")
@click.option(
    "--audit-by", help="Who judges them the second time: people, oracle:COLUMN or command:PROGRAM [default: people]."
)
@click.option(
    "--max-harm",
    type=float,
    help="Accept a round only if the audit shows that at most this share of its changes is for the worse.",
)
@MAX_CALLS
@MAX_COST
@click.option(
    "--on-bad-row",
    type=click.Choice(["error", "skip"]),
    help="What to do with rows that cannot be used: stop with an error, or leave them as they are.",
)
@click.option("--no-selftest", is_flag=True, help="Do not test the annotator on planted pairs before the start.")
@click.option("--go-on", is_flag=True, help="Continue even if the annotator fails the self-test.")
@click.option("--merge", is_flag=True, help="Write the model as whole weights instead of an adapter.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("refined"), show_default=True, help="Folder for all results."
)
@click.option(
    "--also-as",
    type=click.Choice(["parquet", "csv"]),
    multiple=True,
    help="Write the refined dataset as this kind of file, too. May be given twice.",
)
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the comparisons as preference pairs for TRL (DPO, reward models) into this .jsonl or .parquet file. "
    "Ties and abstentions are left out.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace another refinement that is in --out, and any file that is at --pairs."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check what can be checked, and print the plan and what it would cost. Nothing is computed or bought.",
)
@click.option(
    "--wait",
    is_flag=True,
    help="If people have to judge pairs, wait for them and go on by itself, instead of ending with exit code 3.",
)
@STORE
@SET
@JSON
@settled
def refine_command(data: str, **options: Any) -> None:
    """Refine the finetuning dataset DATA.

    You get a better dataset, with a reason for every changed row. After a crash, run the same command again: it
    continues where it stopped.

    DATA is a JSONL, JSON, Parquet, CSV or TSV file, or the id of a dataset on the Hugging Face hub. Rows may have these
    columns: messages or conversations; prompt and completion; question and answer; instruction, input and output; or
    instruction, context and response. Name other columns with --columns.
    """
    # Each command imports what it needs when it runs, so that `burnish --help` stays fast.
    from burnish.forms.convert import AlsoAs  # noqa: PLC0415
    from burnish.lab.running import default_store  # noqa: PLC0415
    from burnish.people.waiting import with_people  # noqa: PLC0415
    from burnish.refinery import RunOptions, refine_data  # noqa: PLC0415
    from burnish.refinery.options import Options, config_of  # noqa: PLC0415
    from burnish.report.terminal import Terminal  # noqa: PLC0415
    from burnish.services.calls import CallBudget  # noqa: PLC0415

    # The command-line options have the names of the fields of `Options`. The rest says how to run and not what to
    # compute.
    names = {field.name for field in dataclasses.fields(Options)}
    config = config_of(Options(data=data, **{name: options[name] for name in names - {"data"}}))
    budget = CallBudget(max_calls=options["max_calls"], max_cost=options["max_cost"])
    run_options = RunOptions(
        out=options["out"],
        store=options["store"] or default_store(),
        budget=budget,
        overwrite=options["overwrite"],
        also=tuple(map(AlsoAs, options["also_as"])),
        pairs=options["pairs"],
    )
    if options["dry_run"]:
        _print_plan(config, run_options, options["as_json"])
        return
    finished = with_people(lambda: refine_data(config, run_options), Terminal().say, wait=options["wait"])
    if options["as_json"]:
        print_json(finished.summary.model_dump(mode="json"))
        return
    from burnish.refinery.words import closing  # noqa: PLC0415

    for line in closing(finished):
        click.echo(line)


def _print_plan(config: Any, run_options: Any, as_json: bool) -> None:
    from burnish.refinery.dry_run import dry_run, words  # noqa: PLC0415

    plan = dry_run(config, run_options)
    if as_json:
        print_json(dataclasses.asdict(plan))
        return
    for line in words(plan):
        click.echo(line)


@main.command("rank")
@click.argument("data")
@click.option(
    "--model", help="A base model that answers every prompt. It is not trained [default: only texts are read]."
)
@click.option("--annotator", help="Who compares the model's answers with the labels, as in `refine`.")
@click.option("--differs", help="How to tell whether two answers differ: text, number, ... as in `refine`.")
@click.option("--reference", help="A column with right answers. It says how good the list is.")
@click.option("--columns", help="Which columns hold the parts of a row, as in `refine`.")
@click.option("--template", help="How rows become text: paper, chat, or a file with a Jinja chat template.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Number of rows to print.")
@click.option("--max-calls", type=int, help="Stop before the judge's server has answered more calls than this.")
@click.option("--max-cost", type=float, help="Stop before the judge has cost more money than this.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write all rows as JSON lines into FILE.")
@STORE
@SET
@JSON
@settled
def rank_command(data: str, **options: Any) -> None:
    """List the rows of DATA whose labels are suspicious, before anything is trained.

    A label is suspicious if another row with the same question has another answer, if it has no final answer, or if it
    stops in the middle. With --model, it is also suspicious if the model prefers an answer of its own; with
    --annotator, if the annotator prefers the model's answer. Nothing is changed: look at the rows yourself.
    """
    from burnish.lab.running import default_store  # noqa: PLC0415
    from burnish.refinery.options import Options  # noqa: PLC0415
    from burnish.refinery.ranking import as_json, check_place, rank, words, write_ranking  # noqa: PLC0415
    from burnish.services.calls import CallBudget  # noqa: PLC0415

    check_place(options["out"])
    names = ("annotator", "differs", "reference", "columns", "template", "changes")
    asked = Options(data=data, model="", **{name: options[name] for name in names})
    budget = CallBudget(max_calls=options["max_calls"], max_cost=options["max_cost"])
    ranking = rank(asked, options["store"] or default_store(), budget, options["model"])
    if options["out"] is not None:
        write_ranking(ranking, options["out"])
    if options["as_json"]:
        print_json(as_json(ranking, options["top"]))
        return
    for line in words(ranking, options["top"]):
        click.echo(line)


@main.command("selftest")
@click.argument("annotator")
@click.option("--data", help="A dataset whose rows are used to make pairs [default: rows that come with burnish].")
@click.option(
    "--pairs",
    "labelled",
    type=click.Path(path_type=Path),
    help="A JSONL file of pairs, with a label that says which answer is better.",
)
@click.option("--rows", type=int, default=24, show_default=True, help="Number of rows from which pairs are made.")
@click.option("--limit", type=int, help="Use only this many of the labelled pairs. They are chosen by hash.")
@click.option(
    "--min-accuracy",
    "least",
    type=click.FloatRange(0, 1),
    default=0.6,
    show_default=True,
    help="Exit with code 1 if the accuracy is below this. `refine` stops below selftest.min_accuracy.",
)
@MAX_CALLS
@MAX_COST
@STORE
@SET
@JSON
@settled
def selftest_command(annotator: str, **options: Any) -> None:
    """Test ANNOTATOR on pairs whose better side is known, before you spend money on it.

    ANNOTATOR is a YAML file or a short form, as in `refine`. The pairs are planted: burnish makes one side worse.

    The exit code is 0 if the annotator can be used, and 1 if `refine` would stop. If you give --data and use the same
    store later, `refine` reuses the answers.
    """
    from burnish.lab.running import default_store  # noqa: PLC0415
    from burnish.selftest.asking import judgement, unusable  # noqa: PLC0415
    from burnish.selftest.verb import Trial, try_out  # noqa: PLC0415

    # The command-line options have the names of the fields of `Trial`.
    names = {field.name for field in dataclasses.fields(Trial)}
    trial = Trial(annotator=annotator, **{name: options[name] for name in names - {"annotator"}})
    report = try_out(trial, options["store"] or default_store())
    fails = unusable(report, options["least"]) is not None
    if options["as_json"]:
        print_json({**report.model_dump(mode="json"), "usable": not fails})
    else:
        for line in (*report.words(), "", judgement(report, options["least"])):
            click.echo(line)
    # 1 and not 2: the command did its work, and the answer is no.
    if fails:
        sys.exit(1)
