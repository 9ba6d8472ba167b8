"""The commands for experiments: run, demo, explain, report, grade, gc."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from burnish.cli.common import JSON, OUT, SET, STORE, main, print_json, settled

AFTER_THE_DEMO = {
    "burnish demo --set 'seeds=[0, 1, 2]' --out demo-3-seeds": "the same with three seeds",
    "burnish explain FILE.yaml": "what an experiment of your own would compute",
    "burnish rank DATA.jsonl --model MODEL": "which labels of your own data are suspicious",
    "burnish refine DATA.jsonl --model MODEL --annotator JUDGE.yaml --dry-run": "what refining it would cost",
}
"""Commands that come next, and what each is for."""


@main.command("run")
@click.argument("config_paths", metavar="CONFIG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@OUT
@STORE
@SET
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "submitit"]),
    help="Who computes the stages: processes on this machine, a Ray cluster or Slurm. It replaces execution.executor.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check the config, the data and the models, and print which stages would run. Nothing is computed.",
)
@JSON
@settled
def run_command(
    config_paths: tuple[Path, ...],
    out: Path | None,
    store: Path | None,
    changes: tuple[str, ...],
    executor: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the experiments that YAML files describe.

    After a crash, run the same command again: it continues where it stopped.

    A file with `variants` is a sweep. Each variant gets its own folder OUT/NAME/VARIANT, and OUT/NAME gets one report
    of all variants. If you give several files, stages that they have in common are computed once, and OUT gets one
    report of all.
    """
    from burnish.config.reading import read_sweep  # noqa: PLC0415
    from burnish.lab.executors import check_reachable, common_executor  # noqa: PLC0415

    if executor is not None:
        changes = _with_executor(changes, executor)
    # All files are read before anything runs, so that a mistake in the last one is reported at once.
    configs = [config for path in config_paths for config in read_sweep(path, changes)]
    if dry_run:
        for config in configs:
            _print_plan(config, store, as_json, details=False)
        # After the plan, which is useful without a cluster, too.
        check_reachable(common_executor(configs))
    # A sweep with one variant is still a sweep: its results go into a folder of the variant.
    elif len(configs) == 1 and not configs[0].variant:
        _run(configs[0], out, store, as_json)
    else:
        _run_suite(configs, out, store, as_json)


@main.command()
@OUT
@STORE
@SET
@JSON
@settled
def demo(out: Path | None, store: Path | None, changes: tuple[str, ...], as_json: bool) -> None:
    """Run the example experiment that comes with burnish. It needs no network and takes minutes on a laptop's CPU."""
    # Here and below, each command imports what it needs when it runs, so that `burnish --help` stays fast.
    from burnish.config.reading import demo_config  # noqa: PLC0415

    _run(demo_config(changes), out, store, as_json)
    if not as_json:
        click.echo("what you can do next:")
        for command, why in AFTER_THE_DEMO.items():
            click.echo(f"  {command:<72}  {why}")


@main.command("explain")
@click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
@STORE
@SET
@JSON
@settled
def explain_command(config_path: Path, store: Path | None, changes: tuple[str, ...], as_json: bool) -> None:
    """Show for every stage whether it is done. For a stage that will run again, show which fields changed."""
    from burnish.config.reading import read_sweep  # noqa: PLC0415

    for config in read_sweep(config_path, changes):
        _print_plan(config, store, as_json, details=True)


@main.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the joint report of several folders [default: .]."
)
@settled
def report(directories: tuple[Path, ...], out: Path | None) -> None:
    """Write report.html and the figures of a results folder again. For several folders, write one joint report."""
    from burnish.report.figures import write_figures  # noqa: PLC0415
    from burnish.report.joined import write_joined  # noqa: PLC0415
    from burnish.report.page import write_report  # noqa: PLC0415

    # With --out, even one folder gets a joint report: its own report.html stays as it is.
    if len(directories) > 1 or out is not None:
        click.echo(write_joined(directories, out or Path()))
        return
    for directory in directories:
        write_figures(directory)
        click.echo(write_report(directory))


@main.command("join")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the joined results.")
@JSON
@settled
def join_command(directories: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Join results folders of one experiment that were computed with other seeds.

    So seeds can run on several machines, or at several times, without a common store. Give the same config with `--set
    seeds=[0]`, `--set seeds=[1]` and so on. Means, differences and intervals are computed anew over all seeds.
    """
    from burnish.lab.joining import join  # noqa: PLC0415

    _print_finished(join(directories, out), as_json)


@main.command("grade")
@click.argument("task")
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the rows to this file, with the columns `correct` and `extracted` and the outcome of each row.",
)
@click.option(
    "--equality",
    type=click.Choice(["set", "multiset", "ordered"]),
    help="For text_to_sql: how to compare the results of two queries. set: the same rows, whatever their number and "
    "order (the default, as in BIRD). multiset: each row also equally often. ordered: also in the same order.",
)
@JSON
@settled
def grade_command(task: str, predictions: Path, out: Path | None, equality: str | None, as_json: bool) -> None:
    """Grade the predictions in a JSONL file.

    TASK is gsm8k, word_problems, sums, text_to_sql or instructions. Each row of the file needs `prediction` and
    `reference`.

    For text_to_sql each row also needs `database`, the path of a SQLite file. The queries run in a sandbox. For
    instructions an answer is right if it refuses exactly when the reference refuses, or when its `category` (general or
    safety) asks for it.
    """
    from burnish.tasks.grading import grade  # noqa: PLC0415

    summary = grade(task, predictions, out, equality)
    if as_json:
        print_json(dataclasses.asdict(summary))
        return
    bounds = f"95 % interval {summary.low:.4f} to {summary.high:.4f}"
    click.echo(f"n {summary.n}  accuracy {summary.accuracy:.4f}  {bounds}  without an answer {summary.no_answer}")
    if summary.outcomes:
        click.echo("  ".join(f"{name} {count}" for name, count in summary.outcomes.items()))
    if summary.no_reference:
        click.echo(f"not graded {summary.no_reference}: the query of the reference does not run")


@main.command()
@STORE
@click.option("--dry-run", is_flag=True, help="Print what would be deleted. Nothing is deleted.")
@JSON
@settled
def gc(store: Path | None, dry_run: bool, as_json: bool) -> None:
    """Delete stages that no existing results folder uses. Checkpoints are deleted first."""
    from burnish.store.gc import collect  # noqa: PLC0415
    from burnish.store.opening import default_store, open_store  # noqa: PLC0415

    freed = collect(open_store(store or default_store()), dry_run)
    total = sum(item.size for item in freed)
    if as_json:
        print_json({"bytes": total, "removed": [str(item.path) for item in freed], "dry_run": dry_run})
        return
    for item in freed:
        click.echo(f"{item.size:>14,}  {item.path}")
    click.echo(f"{total:>14,}  bytes in {len(freed)} folders {'would be freed' if dry_run else 'freed'}")


def _run(config: Any, out: Path | None, store: Path | None, as_json: bool) -> None:
    from burnish.lab.running import run  # noqa: PLC0415

    _print_finished(run(config, out, store), as_json)


def _print_finished(finished: Any, as_json: bool) -> None:
    """Print the tables and sentences of an experiment, or its results.json."""
    from burnish.report.cautions import cautions  # noqa: PLC0415
    from burnish.report.tables import paired_table, rich_table, summary_table  # noqa: PLC0415
    from burnish.report.words import headline  # noqa: PLC0415
    from burnish.results import RESULTS_FILE  # noqa: PLC0415

    if as_json:
        # The bytes of the file itself, so that stdout and file are the same to the last digit.
        sys.stdout.buffer.write((finished.out / RESULTS_FILE).read_bytes())
        return
    console = Console()
    if not console.is_terminal:
        # A pipe or a file has no width. Rich would take 80 columns and break the lines of the table.
        console = Console(width=140)
    console.print(rich_table(summary_table(finished.results)))
    if finished.results.paired:
        console.print(rich_table(paired_table(finished.results)))
    for sentence in headline(finished.results):
        click.echo(sentence)
    for caution in cautions(finished.results):
        click.echo(caution)
    click.echo(f"report: {finished.out / 'report.html'}")


def _run_suite(configs: list[Any], out: Path | None, store: Path | None, as_json: bool) -> None:
    from burnish.lab.suite import run_suite  # noqa: PLC0415

    def done(folder: Path) -> None:
        # With --json, stdout holds the one JSON object alone. What is said on the way goes to stderr.
        click.echo(f"results: {folder}", err=as_json)

    finished = run_suite(configs, out, store, done)
    if as_json:
        print_json(dataclasses.asdict(finished.models) | {"out": str(finished.out)})
        return
    models = finished.models
    click.echo(
        f"models trained: {models.trained}; each config alone would have trained {models.alone} ({models.share})"
    )
    click.echo(f"report: {finished.out / 'report.html'}")


def _with_executor(changes: tuple[str, ...], executor: str) -> tuple[str, ...]:
    """Return `changes` with `--executor`. Settings of the executor (`--set execution.executor.minutes=60`) come after
    it, because it replaces the whole executor."""
    inner = tuple(change for change in changes if change.startswith("execution.executor."))
    others = tuple(change for change in changes if change not in inner)
    return (*others, f"execution.executor={{kind: {executor}}}", *inner)


def _print_plan(config: Any, store: Path | None, as_json: bool, details: bool) -> None:
    from burnish.inputs.memory import memory_words  # noqa: PLC0415
    from burnish.lab.running import plan  # noqa: PLC0415

    planned = plan(config, store)
    if as_json:
        print_json(dataclasses.asdict(planned))
        return
    from burnish.report.text import terminal  # noqa: PLC0415
    from burnish.store.identity import unresolved_words  # noqa: PLC0415

    for line in planned.sent:
        click.echo(terminal(line))
    explanations = planned.stages
    for explanation in explanations:
        click.echo(f"{explanation.state:<8} {explanation.fingerprint[:8]}  {explanation.label}")
        for difference in explanation.differences if details else ():
            before, after = _short(difference.before), _short(difference.now)
            cause = f"   (because of: {difference.cause})" if difference.cause else ""
            click.echo(f"           {difference.field}: {before} -> {after}{cause}")
    for source in planned.unresolved:
        click.echo(unresolved_words(source))
    if planned.unread is not None:
        click.echo(f"data not checked: {planned.unread}")
    for warning in planned.warnings:
        click.echo(f"warning: {warning}")
    waiting = sum(explanation.state != "done" for explanation in explanations)
    click.echo(f"{len(explanations)} stages, {len(explanations) - waiting} done, {waiting} to run")
    for line in memory_words(() if details else planned.memory):
        click.echo(terminal(line))
    if planned.judge is not None:
        click.echo(planned.judge.words())


def _short(value: Any) -> str:
    """Return a value as text. Of a fingerprint (64 hex digits) the first 8 digits are enough to tell it from others."""
    # A fingerprint is a SHA-256 in hex: 64 digits.
    return value[:8] if isinstance(value, str) and len(value) == 64 else repr(value)
