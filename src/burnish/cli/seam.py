"""The commands about reward models and policies together: score, select, augment, mismatch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from burnish.cli.common import COLUMNS, JSON, MAX_CALLS, MAX_COST, SET, STORE, main, print_json, settled

_PATH = click.Path(path_type=Path)
CHECKER = click.option(
    "--checker",
    metavar="KIND",
    help="What tells right answers from wrong ones: number, marked (a number after ####), text, or the kind of a task, "
    "such as gsm8k.",
)
_BY = click.option(
    "--by",
    type=click.Choice(["seam", "count", "gold", "margin", "sequence"]),
    default="seam",
    show_default=True,
    help="The variant of the score.",
)
LIMIT = click.option("--limit", type=click.IntRange(1, 10**9), help="Use only so many prompts, drawn by hash.")
SEED = click.option("--seed", type=int, default=0, show_default=True, help="The seed of all draws.")
_BAD_ROWS = click.option(
    "--on-bad-row",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="What to do with rows that cannot be used: stop with an error, or leave them out and count them.",
)


@main.group("seam")
def seam() -> None:
    """Measure how well a reward model fits a policy, and choose the prompts to train the policy on."""


@seam.command("score")
@click.argument("data")
@click.option("--policy", metavar="MODEL", help="The policy: a folder, a hub id or builtin:NAME. Not for a table.")
@click.option("--reward", metavar="MODEL", help="The reward model: a folder or a hub id. Not for a table.")
@click.option(
    "--source",
    metavar="SOURCE|YAML",
    default="adversarial",
    show_default=True,
    help="Where worse answers come from: adversarial, contrast[:EMBEDDER], llm, own, weaker:MODEL, or a YAML file.",
)
@click.option("--n", "most", type=click.IntRange(1, 1000), default=8, show_default=True, help="Worse answers a prompt.")
@CHECKER
@COLUMNS
@LIMIT
@SEED
@_BAD_ROWS
@click.option("--out", type=_PATH, metavar="FOLDER", help="Folder for all results [default: seam; for a table none].")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier scoring in --out.")
@MAX_CALLS
@MAX_COST
@click.option("--top", type=click.IntRange(0, 10**9), default=10, show_default=True, help="How many prompts to print.")
@STORE
@SET
@JSON
@settled
def score_command(data: str, **options: Any) -> None:
    """Score prompts: how likely the policy is to write what the reward model misjudges.

    With --policy and --reward, DATA is a dataset of prompts with gold answers, in any form that `burnish refine` reads.
    A source finds worse answers, and both models score them. --set a.b=c changes a setting of the source. The folder
    gets the table, the scores and a report. After a crash, run the same command again: it continues where it stopped.

    Without models, DATA is a table: a JSONL file with an id, the gold answer and worse answers of a prompt, each with
    its reward, its log-probability under the policy (the sum over the answer and its end, in nats) and its number of
    tokens (the end counts): {"id": ..., "gold": {"reward": ..., "logprob": ..., "tokens": ...}, "worse": [{...}, ...]}.

    SEAM of a prompt is the share of worse answers that are rewarded over the gold answer, weighted by how likely the
    policy is to write them. A prompt without worse answers has no score.
    """
    from burnish.config.columns import check_columns_are_read  # noqa: PLC0415
    from burnish.seam.folders import check_out  # noqa: PLC0415
    from burnish.seam.page import write_results  # noqa: PLC0415
    from burnish.seam.results import FILES, as_json, drop_other_table, warnings, words  # noqa: PLC0415

    models = _both_or_none(options["policy"], options["reward"])
    check_columns_are_read(options["columns"], options["policy"], "--policy and --reward")
    out = options["out"] or (Path("seam") if models else None)
    if out is not None:
        check_out(out, options["overwrite"], FILES)
    rows, notes = _computed(data, out, options) if models and out is not None else _given(data)
    for line in (*notes, *warnings(rows)):
        click.echo(line, err=True)
    if out is not None:
        if not models:
            drop_other_table(out, Path(data))
        click.echo(f"report: {write_results(rows, out, data, notes)}", err=True)
    if options["as_json"]:
        print_json(as_json([row.score for row in rows]))
        return
    for line in words(rows, options["top"]):
        click.echo(line)


def _both_or_none(policy: str | None, reward: str | None) -> bool:
    """Say whether both models are named. Raises ConfigError if only one of them is."""
    from burnish.errors import ConfigError  # noqa: PLC0415

    if (policy is None) != (reward is None):
        missing = "--policy" if policy is None else "--reward"
        raise ConfigError(f"{missing}: it is missing; name both models, or neither to read a table")
    return policy is not None


def _given(table: str) -> tuple[list[Any], list[str]]:
    from burnish.seam.table import read_table  # noqa: PLC0415

    return read_table(Path(table)), []


def _computed(data: str, out: Path, options: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Compute the table, write it, and return its rows and what was met on the way."""
    from burnish.config import ModelConfig  # noqa: PLC0415
    from burnish.config.columns import dataset  # noqa: PLC0415
    from burnish.seam.options import checker_of, source_of  # noqa: PLC0415
    from burnish.seam.results import write_table  # noqa: PLC0415
    from burnish.seam.scoring import ScoreOptions, compute  # noqa: PLC0415
    from burnish.services.calls import CallBudget  # noqa: PLC0415
    from burnish.store.opening import default_store  # noqa: PLC0415

    done = compute(
        ScoreOptions(
            data=dataset(data, options["columns"], options["on_bad_row"]),
            policy=ModelConfig(source=options["policy"]),
            reward=ModelConfig(source=options["reward"]),
            source=source_of(options["source"], options["changes"]),
            most=options["most"],
            checker=None if options["checker"] is None else checker_of(options["checker"]),
            limit=options["limit"],
            seed=options["seed"],
            budget=CallBudget(max_calls=options["max_calls"], max_cost=options["max_cost"]),
            out=out,
        ),
        options["store"] or default_store(),
    )
    write_table(done.rows, out)
    return done.rows, list(done.words())


@seam.command("select")
@click.argument("table", type=_PATH)
@click.option("--keep", type=float, metavar="SHARE", help="Keep this share of the prompts: those with the lowest SEAM.")
@click.option(
    "--drop", type=float, metavar="SHARE", help="Drop this share of the prompts: those with the highest SEAM."
)
@_BY
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
@COLUMNS
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
    from burnish.config.columns import check_columns_are_read  # noqa: PLC0415
    from burnish.seam.folders import check_out  # noqa: PLC0415
    from burnish.seam.selecting import FILES, SelectOptions, select, share_to_keep  # noqa: PLC0415
    from burnish.seam.table import read_table  # noqa: PLC0415

    chosen = SelectOptions(
        keep=share_to_keep(options["keep"], options["drop"]),
        by=Variant(options["by"]),
        order=SelectionOrder(options["order"]),
        stratify=options["stratify"],
        strata=options["strata"],
        seed=options["seed"],
        data=options["data"],
        columns=options["columns"],
    )
    check_columns_are_read(options["columns"], options["data"], "--data")
    check_out(options["out"], options["overwrite"], FILES)
    _tell(select(read_table(table), chosen, options["out"]), options)


@seam.command("augment")
@click.argument("table", type=_PATH)
@click.option("--share", type=float, required=True, help="Take this share of the prompts: those with the highest SEAM.")
@_BY
@click.option(
    "--order",
    type=click.Choice(["highest", "lowest", "random"]),
    default="highest",
    show_default=True,
    help="Which prompts to take. lowest and random are controls for experiments.",
)
@click.option("--most", type=click.IntRange(1, 1000), default=4, show_default=True, help="Pairs of a prompt at most.")
@click.option("--all-worse", is_flag=True, help="Make pairs also of answers that the reward model judges rightly.")
@SEED
@click.option("--out", type=_PATH, default=Path("augmented"), show_default=True, help="Folder for all results.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run in --out.")
@JSON
@settled
def augment_command(table: Path, **options: Any) -> None:
    """Write pairs for the reward model, and prompts for the policy, where the two fit each other least.

    TABLE is what `burnish seam score` writes, with the texts of prompts and answers. The folder gets `pairs.jsonl`, in
    which the gold answer is chosen and a worse one is rejected, for `burnish reward train`; `prompts.jsonl`, for the
    policy; and `ledger.jsonl`, which says for every row whether it was taken and why.
    """
    from burnish.algorithms.seam import Variant  # noqa: PLC0415
    from burnish.algorithms.seam_selection import SelectionOrder  # noqa: PLC0415
    from burnish.seam.augmenting import FILES, AugmentOptions, augment  # noqa: PLC0415
    from burnish.seam.folders import check_out  # noqa: PLC0415
    from burnish.seam.table import read_table  # noqa: PLC0415

    chosen = AugmentOptions(
        share=options["share"],
        by=Variant(options["by"]),
        order=SelectionOrder(options["order"]),
        most=options["most"],
        all_worse=options["all_worse"],
        seed=options["seed"],
    )
    check_out(options["out"], options["overwrite"], FILES)
    _tell(augment(read_table(table), chosen, options["out"]), options)


@seam.command("mismatch")
@click.argument("data")
@click.option(
    "--policy",
    "policies",
    metavar="MODEL",
    multiple=True,
    required=True,
    help="The policy. May be repeated, for example for a policy before and after reinforcement learning.",
)
@click.option("--reward", metavar="MODEL", required=True, help="The reward model: a folder or a hub id.")
@CHECKER
@click.option("--annotator", help="Who says which answer is better, instead of a checker: a YAML file, people, ...")
@click.option("--samples", type=click.IntRange(2, 1000), default=8, show_default=True, help="Answers a prompt.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="The temperature of the draws.")
@click.option("--max-new-tokens", type=int, default=256, show_default=True, help="The most tokens of an answer.")
@click.option(
    "--pairs-a-prompt",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="How many pairs of a prompt the annotator compares at most.",
)
@click.option("--pairs", "off_policy", type=_PATH, metavar="FILE", help="Pairs of other models' answers, to compare.")
@click.option("--against", type=_PATH, metavar="TABLE", help="Correlate the mismatch of prompts with this SEAM table.")
@COLUMNS
@LIMIT
@SEED
@_BAD_ROWS
@click.option(
    "--out", type=_PATH, metavar="FOLDER", help="Folder for mismatch.json, a line for every prompt, and a report."
)
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run in --out.")
@STORE
@JSON
@settled
def mismatch_command(data: str, **options: Any) -> None:
    """Measure how often a reward model misjudges a policy's own answers.

    DATA is a dataset of prompts with gold answers. The policy answers each prompt several times. A checker says which
    answers are right, or an annotator says which of two is better. The mismatch rate is the share of pairs with one
    better answer in which the reward model prefers the worse one. With --pairs, its accuracy on other pairs is measured
    beside it.
    """
    from burnish.config import ModelConfig  # noqa: PLC0415
    from burnish.config.columns import dataset  # noqa: PLC0415
    from burnish.config.reading import read_annotator  # noqa: PLC0415
    from burnish.seam.folders import check_out  # noqa: PLC0415
    from burnish.seam.mismatch import FILES, MismatchOptions, mismatch  # noqa: PLC0415
    from burnish.seam.options import checker_of  # noqa: PLC0415
    from burnish.store.opening import default_store  # noqa: PLC0415

    if options["out"] is not None:
        check_out(options["out"], options["overwrite"], FILES)
    same = {field.name for field in dataclasses.fields(MismatchOptions)} & set(options) - {"checker", "annotator"}
    chosen = MismatchOptions(
        **{name: options[name] for name in same - {"policies", "reward"}},
        data=dataset(data, options["columns"], options["on_bad_row"]),
        policies=tuple(ModelConfig(source=source) for source in options["policies"]),
        reward=ModelConfig(source=options["reward"]),
        checker=None if options["checker"] is None else checker_of(options["checker"]),
        annotator=None if options["annotator"] is None else read_annotator(options["annotator"]),
    )
    report = mismatch(chosen, options["store"] or default_store(), options["out"])
    if options["as_json"]:
        print_json(report.model_dump(mode="json"))
        return
    for line in report.words():
        click.echo(line)


def _tell(summary: Any, options: Mapping[str, Any]) -> None:
    """Print the summary of what was written into the folder `out`: for people, or as JSON."""
    if options["as_json"]:
        print_json(dataclasses.asdict(summary))
        return
    for line in summary.words():
        click.echo(line)
    click.echo(f"wrote {options['out']}", err=True)
