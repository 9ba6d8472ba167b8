"""The majority of k sampled answers is the proposal; its share of the votes is the confidence (arXiv 2203.11171)."""

from __future__ import annotations

import dataclasses

from burnish.algorithms.comparisons import combined
from burnish.config import Budget, MajorityMethod
from burnish.methods.sft import learned, start
from burnish.steps.acceptance import Judgements, rule_of
from burnish.steps.artifacts import PREFERENCES, preference_row, read_comparisons, read_json
from burnish.steps.auditing import audited
from burnish.steps.judging import nobody
from burnish.steps.refining import compare, cross_label, update
from burnish.steps.sampling import Sampling
from burnish.steps.setting import Compared, Round, Setting
from burnish.steps.voting import SHARES, vote
from burnish.store.files import write_rows
from burnish.store.stages import Work
from burnish.types import Artifact, Order


def majority(setting: Setting, method: MajorityMethod) -> list[Round]:
    """Cross-label with k samples for each row, and let the samples vote instead of an annotator.

    A label is replaced where the most frequent answer has more than half of the votes.
    """
    # Nobody is asked, so no budget of comparisons applies.
    setting = dataclasses.replace(setting, annotator=nobody(), budget=Budget())
    labels = setting.demonstrations
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        sampling = Sampling(method.samples, method.temperature)
        models, samples = cross_label(setting, labels, k, sampling=sampling)
        voted = vote(setting, samples, k)
        # The vote of a row uses only the samples of the model that did not see it, so the check of cross-labelling
        # holds.
        compared = compare(setting, labels, models, (voted,), k)
        # No annotator is asked. The share of votes takes the place of P(the proposal is better).
        judged = _shares(setting, voted, compared, k)
        refined = update(
            setting, labels, (voted,), Judgements(compared=compared, judged=judged), method.alpha, k, rule_of(method)
        )
        refined = audited(setting, labels, (voted,), refined, k)
        model = learned(setting, refined, f"majority round {k}", last=k == method.rounds)
        sides = Compared(ledger=refined, sides=(labels, voted))
        rounds.append(Round(number=k, model=model, demonstrations=refined, compared=sides, relabelled=True))
        labels = refined
    return rounds


def _shares(setting: Setting, voted: Artifact, compared: Artifact, k: int) -> Artifact:
    """Turn the shares of votes into preferences: P(the proposal is better) is its share of the votes."""

    def run(work: Work) -> None:
        shares = read_json(voted, SHARES)
        preferences = (
            # A vote has no order, so the share stands in the place of order AB.
            combined(comparison.id, (Order.AB,), (shares[comparison.example_id],), "votes")
            for comparison in read_comparisons(compared)
        )
        work.count(rows=write_rows(work.path / PREFERENCES, map(preference_row, preferences)))

    inputs = {"voted": voted, "compared": compared}
    return setting.steps.stage("vote_shares", {}, inputs, run, f"round {k} vote shares")
