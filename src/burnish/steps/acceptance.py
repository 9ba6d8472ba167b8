"""Which proposals may replace a label: the rule of acceptance of a method, and what it is applied to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import JsonValue

from burnish.algorithms.calibration import for_gate
from burnish.algorithms.refinement import PAPER, Acceptance
from burnish.config import ComparingMethod, GatedMethod, IlrMethod
from burnish.steps.artifacts import read_temperature
from burnish.steps.judging import AnnotatorPlan
from burnish.steps.setting import Setting
from burnish.types import Accept, Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgements:
    """What a round decides with: the stage that chose the comparisons, and the stage that judged them.

    `doubts` is the stage that says how many edits of each preferred proposal the annotator prefers to it. It is None
    where nobody was asked about edits.
    """

    compared: Artifact
    judged: Artifact
    doubts: Artifact | None = None

    @property
    def inputs(self) -> dict[str, Artifact]:
        """These stages as inputs of another one."""
        found = {"compared": self.compared, "judged": self.judged}
        return found if self.doubts is None else {**found, "doubts": self.doubts}


def rule_of(method: GatedMethod) -> Acceptance:
    """Return the rule of acceptance that a method's settings describe."""
    accept = method.accept if isinstance(method, ComparingMethod) else None
    distrust = method.distrust if isinstance(method, IlrMethod) else None
    most_doubt = None if distrust is None else distrust.most
    return Acceptance(accept=accept or Accept.MEAN, gate=method.gate, most_doubt=most_doubt)


def rule_config(rule: Acceptance, annotator: AnnotatorPlan) -> dict[str, JsonValue]:
    """Return what the rule adds to a stage's config: nothing for the paper's rule.

    An annotator that is asked only once has one order, so both values of `accept` mean the same and are left out.
    """
    # Values of the paper's rule are left out, so that stages from before these settings existed keep their fingerprint.
    gate: dict[str, JsonValue] = {"gate": rule.gate} if rule.gate != PAPER.gate else {}
    both = rule.accept is Accept.BOTH_ORDERS and not annotator.order_free
    return gate | ({"accept": str(rule.accept)} if both else {})


def gate_test(setting: Setting, rule: Acceptance) -> Artifact | None:
    """Return the annotator's self-test if its temperature matters.

    It changes only what passes a gate above one half, so stages with another rule do not depend on it.
    """
    return setting.tested if rule.gate > PAPER.gate else None


def scaled(rule: Acceptance, tested: Artifact | None) -> Acceptance:
    """Return the rule with the temperature of a self-test."""
    return rule if tested is None else replace(rule, temperature=for_gate(read_temperature(tested)))
