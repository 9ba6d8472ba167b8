"""The commands for reward models: reward pairs, reward train, reward test, reward check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from burnish.cli.common import COLUMNS, JSON, MAX_CALLS, MAX_COST, SET, STORE, main, print_json, settled
from burnish.cli.seam import CHECKER, LIMIT, SEED

_PATH = click.Path(path_type=Path)
_BAD_ROWS = click.option(
    "--on-bad-row",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="What to do with rows that cannot be used: stop with an error, or leave them out and count them.",
)


@main.group("reward")
def reward() -> None:
    """Train reward models on preference pairs, test them, and check whether they are fit for a policy."""


@reward.command("pairs")
@click.argument("data")
@click.option(
    "--source",
    metavar="SOURCE|YAML",
    required=True,
    help="Where worse answers come from: adversarial, contrast[:EMBEDDER], llm, own, weaker:MODEL, or a YAML file.",
)
@click.option(
    "--n", "most", type=click.IntRange(1, 1000), default=4, show_default=True, help="The most pairs a prompt."
)
@click.option("--policy", metavar="MODEL", help="The policy, whose wrong answers the source own takes.")
@CHECKER
@COLUMNS
@LIMIT
@SEED
@_BAD_ROWS
@click.option("--to", type=_PATH, default=Path("pairs.jsonl"), show_default=True, help="File for the pairs.")
@click.option("--overwrite", is_flag=True, help="Replace the file --to.")
@MAX_CALLS
@MAX_COST
@STORE
@SET
@JSON
@settled
def pairs_command(data: str, **options: Any) -> None:
    """Make preference pairs for `burnish reward train`: gold answers, and worse ones from a source.

    DATA is a dataset of prompts with gold answers, in any form that `burnish refine` reads. Sources and checkers are
    those of `burnish seam score`. --set a.b=c changes a setting of the source. After a crash, run the same command
    again: it continues where it stopped.
    """
    from burnish.config import ModelConfig  # noqa: PLC0415
    from burnish.config.columns import dataset  # noqa: PLC0415
    from burnish.seam.folders import check_file  # noqa: PLC0415
    from burnish.seam.options import checker_of, source_of  # noqa: PLC0415
    from burnish.seam.pairing import PairOptions, make_pairs  # noqa: PLC0415
    from burnish.services.calls import CallBudget  # noqa: PLC0415
    from burnish.store.opening import default_store  # noqa: PLC0415

    to: Path = options["to"]
    check_file(to, options["overwrite"])
    made = make_pairs(
        PairOptions(
            data=dataset(data, options["columns"], options["on_bad_row"]),
            source=source_of(options["source"], options["changes"]),
            policy=None if options["policy"] is None else ModelConfig(source=options["policy"]),
            checker=None if options["checker"] is None else checker_of(options["checker"]),
            budget=CallBudget(max_calls=options["max_calls"], max_cost=options["max_cost"]),
            out=to,
            **{name: options[name] for name in ("most", "limit", "seed")},
        ),
        options["store"] or default_store(),
        to,
    )
    if options["as_json"]:
        print_json(made)
        return
    for line in made.words():
        click.echo(line)
    click.echo(f"wrote {to}", err=True)


@reward.command("train")
@click.argument("pairs", type=_PATH)
@click.option("--base", required=True, metavar="MODEL", help="The base model: a folder, a hub id or builtin:NAME.")
@click.option("--epochs", type=float, help="Passes over the pairs [default: 1; for built-in models 3].")
@click.option(
    "--learning-rate", type=float, help="The highest learning rate [default: 1e-4; for built-in models 2e-3]."
)
@click.option("--batch-size", type=int, help="Pairs in a step [default: 32].")
@click.option(
    "--lora-rank", type=int, help="The rank of the adapter; 0 trains all weights [default: 16; for built-in models 0]."
)
@click.option("--max-tokens", type=int, help="Leave out pairs with a longer answer [default: what the model takes].")
@click.option("--held-out", type=float, help="The share of prompts to test on; 0 tests on none [default: 0.1].")
@click.option("--centring", type=float, help="How strongly rewards are kept near 0 [default: 0.01].")
@click.option("--seed", type=int, help="The seed of the head, of the order and of the held-out prompts [default: 0].")
@_BAD_ROWS
@click.option("--out", type=_PATH, default=Path("reward-model"), show_default=True, help="Folder for the reward model.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier reward model in --out.")
@STORE
@SET
@JSON
@settled
def train_command(pairs: Path, base: str, **options: Any) -> None:
    """Train a reward model on PAIRS, and test it on the pairs of held-out prompts.

    PAIRS is a JSONL, JSON, CSV or Parquet file, or the folder of a refinement, whose comparisons are the pairs. A row
    has chosen and rejected, with prompt or as whole conversations; or prompt, first, second and label; or the columns
    of `burnish annotate export`. Pairs without a winner are left out and counted.

    The folder serves as an annotator: annotator: {kind: reward_model, model: FOLDER}. After a crash, run the same
    command again: it continues where it stopped.
    """
    from burnish.lab.running import default_store  # noqa: PLC0415
    from burnish.rewards.options import training_of  # noqa: PLC0415
    from burnish.rewards.verbs import Workplace, check_new, train_and_test  # noqa: PLC0415

    settings = training_of(base, options, options["changes"])
    check_new(options["out"], options["overwrite"])
    place = Workplace(store=options["store"] or default_store())
    report = train_and_test(pairs, settings, options["out"], place, skip_bad=options["on_bad_row"] == "skip")
    _print(report, options["as_json"])
    click.echo(f"wrote {options['out']}", err=True)


@reward.command("test")
@click.argument("model")
@click.argument("pairs", type=_PATH)
@_BAD_ROWS
@click.option("--out", type=_PATH, metavar="FOLDER", help="Folder for reward.json and a report page.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier report in --out.")
@STORE
@JSON
@settled
def test_command(model: str, pairs: Path, **options: Any) -> None:
    """Test the reward model MODEL on PAIRS, such as those of RewardBench.

    MODEL is a folder of `burnish reward train`, or a folder or hub id of any model with a trained head of one number.
    PAIRS are as in `burnish reward train`. `subset` or `source` in a row says where the pair comes from.
    """
    from burnish.config import ModelConfig  # noqa: PLC0415
    from burnish.lab.running import default_store  # noqa: PLC0415
    from burnish.rewards.report import write_report  # noqa: PLC0415
    from burnish.rewards.verbs import Workplace, check_new, measure  # noqa: PLC0415

    if options["out"] is not None:
        check_new(options["out"], options["overwrite"])
    place = Workplace(store=options["store"] or default_store())
    report = measure(ModelConfig(source=model), pairs, place, skip_bad=options["on_bad_row"] == "skip")
    if options["out"] is not None:
        click.echo(f"report: {write_report(report, options['out'])}", err=True)
    _print(report, options["as_json"])


@reward.command("check")
@click.argument("model")
@click.option(
    "--pairs", type=_PATH, metavar="FILE", help="Pairs that it was not trained on [default: its held-out ones]."
)
@click.option("--prompts", metavar="DATA", help="A dataset of prompts with gold answers, for the policy to answer.")
@COLUMNS
@click.option("--policy", metavar="MODEL", help="The policy: a folder, a hub id or builtin:NAME.")
@CHECKER
@click.option("--annotator", help="Who says which answer is better, instead of a checker: a YAML file, people, ...")
@click.option("--samples", type=click.IntRange(2, 1000), default=8, show_default=True, help="Answers a prompt.")
@click.option("--max-new-tokens", type=int, default=256, show_default=True, help="The most tokens of an answer.")
@click.option(
    "--edits", type=click.IntRange(1, 1000), default=4, show_default=True, help="Near misses of a gold answer at most."
)
@LIMIT
@SEED
@_BAD_ROWS
@click.option("--out", type=_PATH, metavar="FOLDER", help="Folder for check.json and a report page.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier check in --out.")
@STORE
@JSON
@settled
def check_command(model: str, **options: Any) -> None:
    """Say whether the reward model MODEL is fit for a policy, in plain sentences.

    It must be right on more than 65 % of the pairs that it was not trained on, of the policy's own answers (with
    --prompts, --policy and --checker), and of near misses: gold answers against the same answers with a small mistake.
    Its reward must not follow the length. What cannot be told or was not measured is said.
    """
    from burnish.config import ModelConfig  # noqa: PLC0415
    from burnish.config.columns import check_columns_are_read, dataset  # noqa: PLC0415
    from burnish.config.reading import read_annotator  # noqa: PLC0415
    from burnish.rewards.verbs import Workplace  # noqa: PLC0415
    from burnish.seam.checking import FILES, CheckOptions, check  # noqa: PLC0415
    from burnish.seam.folders import check_out  # noqa: PLC0415
    from burnish.seam.options import checker_of  # noqa: PLC0415
    from burnish.store.opening import default_store  # noqa: PLC0415

    if options["out"] is not None:
        check_out(options["out"], options["overwrite"], FILES)
    prompts, policy = options["prompts"], options["policy"]
    check_columns_are_read(options["columns"], prompts, "--prompts")
    chosen = CheckOptions(
        reward=ModelConfig(source=model),
        prompts=None if prompts is None else dataset(prompts, options["columns"], options["on_bad_row"]),
        policy=None if policy is None else ModelConfig(source=policy),
        checker=None if options["checker"] is None else checker_of(options["checker"]),
        annotator=None if options["annotator"] is None else read_annotator(options["annotator"]),
        skip_bad=options["on_bad_row"] == "skip",
        **{name: options[name] for name in ("pairs", "samples", "edits", "max_new_tokens", "limit", "seed")},
    )
    _print(check(chosen, Workplace(store=options["store"] or default_store()), options["out"]), options["as_json"])


def _print(report: Any, as_json: bool) -> None:
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    for line in report.words():
        click.echo(line)
