"""What speaks against a refinement before anything is spent. A dry run and a run ask the same functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from burnish.config import RefineConfig
from burnish.errors import BackendError
from burnish.forms.recognise import UsableRow
from burnish.inputs.feasible import check_caps, check_parts
from burnish.inputs.lengths import check_fits, check_lengths, spread
from burnish.ledger.summary import doubt_of
from burnish.refinery.dataset import DataFacts
from burnish.refinery.inputs import STUDENT, RefinementInputs
from burnish.results import Metric
from burnish.types import Example, TrainingRow

MOST_GRADED = 10_000
"""A dry run compares at most so many answers with their references, evenly spaced: that takes a few seconds."""


def check_amount(config: RefineConfig, facts: DataFacts) -> None:
    """Check that there are enough rows for the method. Raises DataError if they cannot be divided into its parts, and
    ConfigError if its cap allows no change."""
    # The facts of an older burnish do not count the prompts. Then the stage that divides the rows checks it.
    # Proposals from elsewhere need no parts.
    if facts.prompts is not None and config.proposals is None:
        check_parts(config.method, facts.prompts, facts.usable, config.data.source)
    check_caps(config.method, "method", facts.usable, config.data.source)


def cut_answers(found: RefinementInputs, facts: DataFacts, own_generator: bool) -> str | None:
    """Return a warning if many given answers are longer than an answer may become.

    Raises ConfigError if all are, and ConfigError or DataError if a row does not fit into the model's context.
    """
    rows = [TrainingRow(id=row.where, prompt=row.prompt, completion=row.completion) for row in _spread(found, facts)]
    model, config, warning = found.models[STUDENT].model, found.config, None
    # Without the tokenizer nothing can be counted. The first row says what is missing.
    with suppress(BackendError):
        answers = (row.completion for row in rows)
        if config.proposals is None:
            warning = check_lengths(answers, facts.usable, model, config.decode, "given answers")
        # A caller's generator may serve the model with another context.
        # Proposals from elsewhere are not generated.
        decode = None if own_generator or config.proposals is not None else config.decode
        check_fits(rows, facts.usable, model, config.train, decode)
        if config.train_proposers is not None:
            check_fits(rows, facts.usable, model, config.train_proposers, decode, "train_proposers")
    return warning


def reference_doubt(found: RefinementInputs, facts: DataFacts) -> str | None:
    """Return the warning that a run gives if almost no given answer equals its reference."""
    if found.config.data.reference_column is None:
        return None
    verdicts = [_right(found, row) for row in _spread(found, facts, MOST_GRADED) if row.reference]
    return doubt_of(Metric.share(sum(verdicts), len(verdicts)), found.config)


def _right(found: RefinementInputs, row: UsableRow) -> bool:
    """Say whether a given answer is right by its reference."""
    example = Example(id=row.where, group="", prompt=row.prompt, reference=row.reference)
    return found.referee.grader.on(example).grade(row.completion).correct


def _spread(found: RefinementInputs, facts: DataFacts, *most: int) -> Iterator[UsableRow]:
    """Yield some of the rows that can be refined, evenly spaced."""
    usable = (row for row in found.table.read() if isinstance(row, UsableRow) and row.position not in found.refused)
    return spread(usable, facts.usable, *most)
