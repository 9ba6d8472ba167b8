"""RobustFT's gate: agreement first, then lowest entropy (Luo et al., arXiv 2412.14922, and its released code).

From the paper: a label that the model's own answers confirm is kept; the other rows get an answer of the model; of
these, the rows whose answer has the lowest entropy are taken. Entropy is the released code's: the mean of -log p over
the tokens of the answer, in nats.

What differs:

- The paper confirms a label by two answers, one of them after reasoning and reflection. Here several samples of one
  model vote. That model was not trained on the row (cross-labelling); the paper's model was trained on none.
- The paper relabels with the nearest confirmed rows as examples in the prompt, and reviews the result. Here the vote
  gives the answer, because a small finetuned model cannot follow such prompts.
- The paper takes the half of the relabelled rows with the lowest entropy and trains without the other half. Here at
  most alpha of all rows are replaced, and the others keep their labels, as with every refiner.
- The paper relabels once and trains once. `rounds` repeats both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from burnish.algorithms.comparisons import combined
from burnish.config import Budget, RobustFtMethod
from burnish.methods.sft import learned, start
from burnish.protocols import Score
from burnish.steps.acceptance import Judgements
from burnish.steps.artifacts import PREFERENCES, preference_row, read_comparisons, read_scores
from burnish.steps.auditing import audited
from burnish.steps.judging import nobody
from burnish.steps.refining import Parts, compare, cross_label, numbered, update
from burnish.steps.sampling import Sampling
from burnish.steps.setting import Compared, Round, Setting
from burnish.steps.voting import vote
from burnish.store.files import write_rows
from burnish.store.stages import Work
from burnish.types import Artifact, Order, Preference


def robustft(setting: Setting, method: RobustFtMethod) -> list[Round]:
    """Replace labels that the vote of the samples contradicts, those with the lowest entropy first."""
    # Nobody is asked, so no budget of comparisons applies.
    setting = dataclasses.replace(setting, annotator=nobody(), budget=Budget())
    labels, sampling = setting.demonstrations, Sampling(method.samples, method.temperature)
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        models, samples = cross_label(setting, labels, k, sampling=sampling)
        voted = vote(setting, samples, k)
        # A label that agrees with the vote is kept: it is not among the comparisons.
        compared = compare(setting, labels, models, (voted,), k)
        sure = _sureness(setting, models, voted, compared, k)
        refined = update(setting, labels, (voted,), Judgements(compared=compared, judged=sure), method.alpha, k)
        refined = audited(setting, labels, (voted,), refined, k)
        model = learned(setting, refined, f"robustft round {k}", last=k == method.rounds)
        sides = Compared(ledger=refined, sides=(labels, voted))
        rounds.append(Round(number=k, model=model, demonstrations=refined, compared=sides, relabelled=True))
        labels = refined
    return rounds


def _sureness(setting: Setting, models: Parts, voted: Artifact, compared: Artifact, k: int) -> Artifact:
    """Write the sureness of each relabelled row in the place of a preference: the lowest entropy is the surest."""
    cut = setting.steps.split(setting.rows, "cross", k, len(models))
    scores = tuple(
        setting.steps.score(model, setting.rows.part(cut, str(part)), voted, f"of votes {k}, part {part}")
        for part, model in enumerate(models, 1)
    )

    def run(work: Work) -> None:
        by_row = {id_: score for part in scores for id_, score in read_scores(part).items()}

        def preferences() -> Iterator[Preference]:
            for pair in read_comparisons(compared):
                yield combined(pair.id, (Order.AB,), (sureness(by_row[pair.example_id]),), "entropy")

        work.count(rows=write_rows(work.path / PREFERENCES, map(preference_row, preferences())))

    inputs = {"compared": compared, **numbered("scores", scores)}
    return setting.steps.stage("sureness", {}, inputs, run, f"round {k} entropies")


def sureness(score: Score) -> float:
    """Turn a log-probability of an answer into a number above one half that falls with its entropy.

    It is (1 + exp(-entropy)) / 2. It ranks rows; it is no probability that the answer is better than the label.
    """
    return (1.0 + math.exp(score.value / score.tokens)) / 2.0
