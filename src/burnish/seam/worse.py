"""What the verbs share that let a source find worse answers: `seam score` and `reward pairs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from burnish.config import DataConfig, Execution, PerturbationSettings
from burnish.inputs.context import RunContext
from burnish.inputs.distances import embedded_by
from burnish.inputs.writers import writer_of
from burnish.perturbations import Checker, LeftOut, SourceResources, build
from burnish.report.text import plural
from burnish.services.calls import CallBudget, Spent
from burnish.steps.artifacts import Rows
from burnish.steps.basic import Steps
from burnish.steps.perturbing import perturb
from burnish.types import Artifact

SOURCE_FIELD = "source"
"""The config field of the source of worse answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorseOptions:
    """Whose worse answers are wanted, and where they come from.

    `most` is the number of worse answers for each prompt. `limit`, if given, takes so many of the prompts, drawn by
    seed and id. `budget` limits the calls of a source that asks a server, in all sessions with the same folder `out`.
    """

    data: DataConfig
    source: PerturbationSettings
    most: int = 8
    checker: Checker | None = None
    limit: int | None = None
    seed: int = 0
    execution: Execution = field(default_factory=Execution)
    budget: CallBudget = field(default_factory=CallBudget)
    out: Path = Path()


def worse_answers(
    options: WorseOptions, context: RunContext, steps: Steps, rows: Rows, policy: Artifact | None
) -> Artifact:
    """Let the source find worse answers to the prompts of the rows.

    Raises ConfigError if the source needs a checker or a policy and there is none.
    """
    resources = SourceResources(
        steps=steps,
        rows=rows,
        most=options.most,
        field=SOURCE_FIELD,
        policy=policy,
        model=lambda named: context.model(steps, named),
        embedded_by=lambda settings: embedded_by(settings, options.execution),
        writer=lambda settings: writer_of(context, settings),
        checker=options.checker,
    )
    return perturb(steps, build(options.source, resources), rows)


def not_taken_words(left_out: Mapping[str, int]) -> Iterator[str]:
    """Say what a source found and did not take. `left_out` is {why: number of answers}."""
    # This reason counts prompts.
    found = [f"{number:,} {why.replace('_', ' ')}" for why, number in left_out.items() if why != LeftOut.NO_GOLD]
    if found:
        yield f"possible answers that were not taken: {', '.join(found)}"


def spent_words(spent: Spent) -> str:
    """Say what a source paid a server for."""
    money = "" if spent.cost is None else f", cost {spent.cost:.4g}"
    return f"{plural(spent.calls, 'call')} answered, {spent.failed:,} given up{money}"
