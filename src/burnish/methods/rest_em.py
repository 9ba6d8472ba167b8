"""ReST-EM: sample, keep what passes, train the base model on it alone, repeat (Singh et al., arXiv 2312.06585).

From the paper: the current model answers the prompts that it was trained on; samples that do not pass are thrown away;
each round trains the base model and not the last one, and only on samples of that round; rows without a sample that
passes are left out.

What differs:

- The paper's verifier is ground truth. Here a sample passes if its final answer is the label's, which costs nothing, or
  if the annotator prefers it to the label. The label is always the given one.
- Under ILR's budget one sample of a row can be compared: the most frequent answer that differs from the label. The
  paper verifies each of its 32 or 64 samples.
- At most one sample of a row is trained on. The paper takes up to 10 different ones.
- `alpha` can bound how many rows get an answer that differs from the label. The paper has no such bound.
- Round 1 samples from the model that was finetuned on the labels, because the base model cannot do the task.
"""

from __future__ import annotations

from burnish.config import RestEmMethod
from burnish.methods.sft import start
from burnish.steps.acceptance import Judgements, rule_of
from burnish.steps.judging import judge
from burnish.steps.leaving import KEPT, candidates, passing
from burnish.steps.refining import compare, update
from burnish.steps.sampling import Sampling, sampled
from burnish.steps.setting import Compared, Round, Setting, counted


def rest_em(setting: Setting, method: RestEmMethod) -> list[Round]:
    """Alternate between sampling with a filter (E step) and training of the base model (M step)."""
    setting = counted(setting, method.of)
    steps, labels, rule = setting.steps, setting.demonstrations, rule_of(method)
    rounds = [start(setting, labels)]
    for k in range(1, method.rounds + 1):
        model = rounds[-1].model
        # E step. cross=False: the model has seen the rows, as in the paper.
        samples = sampled(setting, model, setting.rows, k, Sampling(method.samples, method.temperature))
        tried = candidates(setting, labels, samples, k)
        compared = compare(setting, labels, (model,), (tried,), k, cross=False)
        judged = judge(steps, setting.annotator, setting.rows, compared, f"round {k} judgements", rule.accept)
        refined = update(setting, labels, (tried,), Judgements(compared=compared, judged=judged), method.alpha, k, rule)
        passed = passing(setting, tried, refined, k)
        # M step, on the rows of which a sample passed.
        rows = setting.rows.part(passed, KEPT)
        model = steps.train(setting.base, rows, passed, setting.train, f"rest_em round {k}")
        sides = Compared(ledger=passed, sides=(labels, samples), judged=judged)
        rounds.append(Round(number=k, model=model, demonstrations=passed, compared=sides, relabelled=True, rows=rows))
    return rounds
