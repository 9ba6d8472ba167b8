"""The end of a refinement with `rounds: auto`: a stage decides whether a round may change labels."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.algorithms.refinement import PAPER, Acceptance
from burnish.algorithms.stopping import LEAST_HELD, evidence, stopped
from burnish.errors import ConfigError
from burnish.steps.artifacts import DEMONSTRATIONS, LEDGER, iter_ledger, read_demonstrations
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.setting import Compared, Round, Setting
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.store.runners import DECISION, GO_ON
from burnish.store.stages import Work
from burnish.types import Accept, Artifact


def check_has_evidence(rule: Acceptance, annotator: AnnotatorPlan) -> None:
    """Raise ConfigError if every preferred proposal meets the rule. Then the stopping rule could never say stop."""
    both = rule.accept is Accept.BOTH_ORDERS and not annotator.order_free
    if rule.gate > PAPER.gate or rule.most_doubt is not None or both:
        return
    why = (
        f"the annotator ({annotator.kind}) has no order of the answers"
        if annotator.order_free
        else "with accept: mean every preferred proposal may be accepted"
    )
    other = " or distrust" if annotator.order_free else ", distrust or accept: both-orders"
    raise ConfigError(
        f"rounds: auto found, but {why}, so nothing shows when the annotator no longer knows; set gate above "
        f"{PAPER.gate:g} (for example 0.6){other}, or give a number of rounds"
    )


def goes_on(setting: Setting, current: Artifact, refined: Artifact, number: int) -> tuple[Artifact, bool | None]:
    """Decide whether a round may change labels. Returns the round's labels, and whether the refinement goes on.

    If it does not, the labels are those from before the round, in a stage whose ledger says `stopped`. None means that
    a plan does not know the decision yet and ends here.
    """

    def run(work: Work) -> None:
        found = evidence(iter_ledger(refined))
        if not found.enough:
            write_rows(work.path / LEDGER, stopped(iter_ledger(refined)))
            work.count(rows=write_rows(work.path / DEMONSTRATIONS, read_demonstrations(current).values()))
        decision = {"preferred": found.preferred, "held": found.held, "least": LEAST_HELD, GO_ON: found.enough}
        write_atomic(work.path / DECISION, pretty(decision))

    inputs = {"current": current, "refined": refined}
    decision = setting.steps.stage("stop", {"least": LEAST_HELD}, inputs, run, f"round {number} stopping rule")
    # The labels of a round that goes on are those of its own stage. So they are the same as with a number of rounds.
    go_on = setting.steps.runner.decided(decision)
    return (decision if go_on is False else refined), go_on


def ended(
    setting: Setting, model: Artifact, refined: Artifact, sides: Sequence[Artifact], number: int, last: int
) -> list[Round]:
    """Return the round in which a refinement ended, and the rounds up to `last` that it saved.

    A refinement of a dataset ends with that round. An experiment measures the same model in all later rounds, so that
    every seed has every round.
    """
    compared = Compared(ledger=refined, sides=tuple(sides))
    rounds = [Round(number=number, model=model, demonstrations=refined, compared=compared, relabelled=True)]
    if setting.models == "every":
        rounds += [Round(number=k, model=model, demonstrations=refined) for k in range(number + 1, last + 1)]
    return rounds
