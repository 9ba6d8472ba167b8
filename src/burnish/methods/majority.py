"""The majority of k sampled answers is the proposal; its share of the votes is the confidence (arXiv 2203.11171)."""

from __future__ import annotations

from itertools import chain

from burnish.algorithms.comparisons import combined, most_voted
from burnish.config import Decoding, MajorityMethod
from burnish.methods.sft import learned, start
from burnish.steps.artifacts import (
    DEMONSTRATIONS,
    PREFERENCES,
    preference_row,
    read_comparisons,
    read_json,
    read_samples,
)
from burnish.steps.auditing import audited
from burnish.steps.refining import Parts, compare, numbered, rule_of, train_on_parts, update
from burnish.steps.setting import Compared, Round, Setting
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.store.stages import Work
from burnish.tasks.answers import graders
from burnish.types import Artifact, DemonstrationSource, Order

SHARES = "shares.json"
"""The file with each row's share of votes."""


def majority(setting: Setting, method: MajorityMethod) -> list[Round]:
    """Cross-label with k samples for each row, and let the samples vote instead of an annotator.

    A label is replaced where the most frequent answer has more than half of the votes.
    """
    labels = setting.demonstrations
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        models, samples = _sampled(setting, labels, method, k)
        voted = _vote(setting, samples, k)
        # The vote of a row uses only the samples of the model that did not see it, so the check of cross-labelling
        # holds.
        compared = compare(setting, labels, models, (voted,), k)
        # No annotator is asked. The share of votes takes the place of P(the proposal is better).
        judged = _shares(setting, voted, compared, k)
        refined = update(setting, labels, (voted,), compared, judged, method.alpha, k, rule_of(method))
        refined = audited(setting, labels, (voted,), refined, k)
        model = learned(setting, refined, f"majority round {k}", last=k == method.rounds)
        sides = Compared(ledger=refined, sides=(labels, voted))
        rounds.append(Round(number=k, model=model, demonstrations=refined, compared=sides, relabelled=True))
        labels = refined
    return rounds


def _sampled(setting: Setting, labels: Artifact, method: MajorityMethod, k: int) -> tuple[Parts, Parts]:
    """Train a model on each half and sample answers for the other half. Returns the models and the samples."""
    cut, models = train_on_parts(setting, labels, k, 2)
    # Sampling needs a temperature and no beams: with greedy decoding all k answers would be equal.
    decode = Decoding(beams=1, temperature=method.temperature, max_new_tokens=setting.decode.max_new_tokens)
    samples = tuple(
        setting.steps.answer(
            model,
            setting.rows.part(cut, str(part)),
            decode,
            "samples",
            DemonstrationSource.PROPOSAL,
            k,
            method.samples,
        )
        for part, model in enumerate(models, 1)
    )
    return models, samples


def _vote(setting: Setting, samples: Parts, k: int) -> Artifact:
    """Keep for each row the first sample with the most frequent answer, and the share of samples that give it."""
    task = setting.steps.task

    def run(work: Work) -> None:
        every = dict(sorted((id_, drawn) for part in samples for id_, drawn in read_samples(part).items()))
        grader_of = graders(task, setting.rows.examples(), chain.from_iterable(every.values()))
        chosen = {id_: most_voted(grader_of(id_), drawn) for id_, drawn in every.items()}
        write_atomic(work.path / SHARES, pretty({id_: share for id_, (_, share) in chosen.items()}))
        work.count(rows=write_rows(work.path / DEMONSTRATIONS, (demonstration for demonstration, _ in chosen.values())))

    config, inputs = {"task": setting.steps.task_kind}, numbered("samples", samples)
    return setting.steps.stage("vote", config, inputs, run, f"round {k} votes")


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
