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
from burnish.refinery.proposals import identified, proposals_in
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
    # Proposals from elsewhere are not generated, but the answers to held-out prompts are.
    generates = config.proposals is None or config.holdout is not None
    # Without the tokenizer nothing can be counted. The first row says what is missing.
    with suppress(BackendError):
        answers = (row.completion for row in rows)
        if generates:
            warning = check_lengths(answers, facts.usable, model, config.decode, "given answers")
        # A caller's generator may serve the model with another context.
        decode = None if own_generator or not generates else config.decode
        check_fits(rows, facts.usable, model, config.train, decode)
        if config.train_proposers is not None:
            check_fits(rows, facts.usable, model, config.train_proposers, decode, "train_proposers")
        if proposed := list(_proposed(found, facts)):
            check_fits(proposed, facts.usable, model, config.train, None)
    return warning


def _proposed(found: RefinementInputs, facts: DataFacts) -> Iterator[TrainingRow]:
    """Yield some of the rows with their proposal from a file in place of their answer, as they may be trained on."""
    if found.proposals is None:
        return
    pairs = proposals_in(found.proposals, found.table, found.refused)
    texts = dict(spread((pair for pair in pairs if pair[1]), facts.usable))
    for id_, row in identified(found.table, found.refused):
        if row is not None and id_ in texts:
            yield TrainingRow(id=f"{row.where} with its proposal", prompt=row.prompt, completion=texts[id_])


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
