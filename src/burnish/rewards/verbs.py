"""Trains a reward model and writes it into a folder, or tests one: the commands `reward train` and `reward test`."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.config import Execution, ModelConfig, WantedModel
from burnish.config.rewards import RewardTraining
from burnish.errors import ConfigError
from burnish.inputs.context import RunContext
from burnish.inputs.feasible import in_one_process
from burnish.inputs.heads import check_heads
from burnish.inputs.models import find_models, reward_doubts
from burnish.models.card import copy_model, remove_model
from burnish.protocols import Backend
from burnish.report.terminal import Terminal
from burnish.rewards.pairs import GivenPair, GivenPairs, LeftOutPair, read_pairs
from burnish.rewards.report import RewardReport, report_on, write_report
from burnish.rewards.trained_prompts import unseen, write_prompts
from burnish.services.calls import CallBudget
from burnish.steps.basic import Steps
from burnish.steps.rewarding import (
    TRAINED_ON,
    cut_pairs,
    pairs_too_long,
    read_reward_curve,
    reward,
    rewarded_pairs,
    tested_rows,
    train_rewards,
)
from burnish.store.files import PART, explained_write_errors, read_rows
from burnish.store.json_rows import dump_line
from burnish.store.opening import open_store
from burnish.tasks.own import TextAnswers
from burnish.types import Artifact, Head, PreferenceRow, prompt_group, short_hash

MODEL_FIELD = "model"
"""The config field of the model that is trained or tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where a run keeps its work. `own_backend`, if given, opens a backend that replaces the usual one."""

    store: Path
    own_backend: Callable[[], Backend] | None = None


def train_and_test(
    pairs: Path, settings: RewardTraining, out: Path, place: Workplace, *, skip_bad: bool = False
) -> RewardReport:
    """Train a reward model on preference pairs, test it on those of held-out prompts, and write it into `out`.

    The folder `out` can be named wherever a reward model is wanted, for example `annotator: {kind: reward_model,
    model: OUT}`. Finished work is kept in the store, so that the same command continues after a kill. Without held-out
    prompts it is not tested.

    Raises ConfigError for a model that cannot be used, DataError for pairs that cannot be used, and BackendError if a
    library is missing.
    """
    given = read_pairs(pairs, skip_bad)
    wanted = WantedModel(MODEL_FIELD, settings.model)
    context = _context([wanted], settings.execution, settings.model, place)
    steps = _steps(context, settings.seed)
    cut = cut_pairs(steps, preference_rows(given.pairs), identity_of(given), settings.held_out)
    model = train_rewards(steps, context.model(steps, MODEL_FIELD), cut, settings.train, settings.centring)
    tested, missing = rewarded_pairs(cut, reward(steps, model, tested_rows(cut), "of the pairs to test on"))
    too_long = pairs_too_long(model)
    counts = Counter(given.left_out) + Counter({str(LeftOutPair.TOO_LONG): too_long})
    trained = len(given.pairs) - len(tested) - missing - too_long
    report = report_on(
        str(out), str(pairs), tested, dict(sorted(counts.items())), missing, (trained, read_reward_curve(model))
    )
    context.store.fetch(Path(model.path))
    seen = (prompt_group(row.prompt) for row in read_rows(Path(cut.path) / TRAINED_ON, PreferenceRow))
    _put(Path(model.path), report, seen, out)
    return report


def _put(model: Path, report: RewardReport, seen: Iterable[str], out: Path) -> None:
    """Write the reward model, its report and the groups of the prompts that it has seen into the folder `out`.

    A kill leaves the folder as it was, or complete. If it held another model, a kill may leave it without a model.
    """
    with explained_write_errors(out):
        part = out.resolve().with_name(f".{out.resolve().name}{PART}")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        copy_model(model, part)
        write_report(report, part)
        write_prompts(seen, part)
        if out.exists() and not any(out.iterdir()):
            out.rmdir()
        if not out.exists():
            part.rename(out)
            return
        # The user asked to replace the files that are there. Other files in the folder stay.
        remove_model(out)
        for path in sorted(part.iterdir()):
            path.replace(out / path.name)
        part.rmdir()


def measure(
    model: ModelConfig,
    pairs: Path,
    place: Workplace,
    *,
    skip_bad: bool = False,
    execution: Execution = Execution(),  # noqa: B008 it is frozen
) -> RewardReport:
    """Test a reward model on the pairs of a file, such as those of RewardBench.

    Pairs of prompts that it was trained on are left out and counted, if burnish trained it.

    It may be a folder of `burnish reward train`, or any model with a trained head of one number. Raises as
    `train_and_test` does.
    """
    given = unseen(read_pairs(pairs, skip_bad), model)
    wanted = WantedModel(MODEL_FIELD, model, Head.REWARD, as_it_is=True)
    context = _context([wanted], execution, model, place)
    for doubt in reward_doubts(context.models[MODEL_FIELD]):
        context.terminal.say(doubt)
    steps = _steps(context, 0)
    cut = cut_pairs(steps, preference_rows(given.pairs), identity_of(given), 1.0)
    scored = reward(steps, context.model(steps, MODEL_FIELD), tested_rows(cut), "of the pairs")
    tested, missing = rewarded_pairs(cut, scored)
    return report_on(model.source, str(pairs), tested, given.left_out, missing)


def preference_rows(pairs: Sequence[GivenPair]) -> list[tuple[PreferenceRow, str]]:
    """Return pairs as rows to train on or to test on, each with its source."""
    return [
        (PreferenceRow(id=one.id, prompt=one.prompt, chosen=one.chosen, rejected=one.rejected), one.source)
        for one in pairs
    ]


def identity_of(given: GivenPairs) -> Artifact:
    """Return what identifies the pairs: their content, whatever the form and the place of their file are."""
    content = hashlib.sha256(b"".join(dump_line(pair) for pair in given.pairs)).hexdigest()
    return Artifact(path="", kind="pairs", fingerprint=content)


def _context(wanted: list[WantedModel], execution: Execution, model: ModelConfig, place: Workplace) -> RunContext:
    models = find_models(wanted, in_one_process(execution, "a reward model"), offline_ok=False)
    if place.own_backend is None:
        check_heads(models)
    return RunContext(
        store=open_store(place.store),
        models=models,
        student=model,
        execution=execution,
        run=short_hash("reward"),
        folder=Path(),
        budget=CallBudget(),
        terminal=Terminal(),
        own_backend=place.own_backend,
    )


def _steps(context: RunContext, seed: int) -> Steps:
    return Steps(context.executor(), context.engines, TextAnswers(), "text", seed)


def check_new(out: Path, overwrite: bool) -> None:
    """Raise ConfigError if `out` is no folder for a new reward model, before anything is spent."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {str(out)!r} is no folder; name another place")
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise ConfigError(
            f"--out: {str(out)!r} is not empty; name another folder, or replace its files with --overwrite"
        )
