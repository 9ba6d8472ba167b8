"""The results of `burnish seam mismatch`: as JSON, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from burnish.report.text import NONE, percent, percent_range, plural, terminal
from burnish.results import Metric, Natural, Record
from burnish.rewards.report import WORDS, share_words


class PolicyMismatch(Record):
    """How a reward model judges the answers of one policy."""

    policy: str
    """The policy, as it was named."""
    samples: Natural
    """How many answers were drawn for all prompts together."""
    unfinished: Natural
    """How many of them were cut at the token limit. They are in no pair."""
    without_reward: Natural = 0
    """How many of the others have no reward, because they do not fit into the reward model. They are in no pair."""
    no_gold: Natural = 0
    """Prompts in whose gold answer the checker finds no final answer. They are in no pair."""
    right: Metric | None
    """Share of right answers among all samples. It is null without a checker. The samples of a prompt depend on each
    other, so there is no interval."""
    pairs: Natural
    """Pairs of which exactly one answer is better."""
    undecided: Natural
    """Pairs for which the annotator named no better answer. It is 0 with a checker."""
    mismatch: Metric
    """Share of these pairs in which the reward model prefers the worse answer; equal rewards count as half. The
    interval takes prompts as independent, and n counts prompts with a pair."""
    correlation: dict[str, Metric]
    """Rank correlation, over prompts with a pair, of each variant of SEAM with the mismatch rate. It is empty without a
    table of scores."""

    def left_out(self) -> Iterator[str]:
        """Yield what is in no pair although its answers ended, as lines for people."""
        if self.without_reward:
            yield f"{plural(self.without_reward, 'sample')} left out that do not fit into the reward model"
        if self.no_gold:
            yield f"{plural(self.no_gold, 'prompt')} left out in whose gold answer the checker finds no final answer"


class MismatchReport(Record):
    """How often a reward model misjudges policies' own answers, beside its accuracy on other pairs."""

    reward: str
    """The reward model, as it was named."""
    prompts: Natural
    """How many prompts were answered."""
    trained_on: Natural
    """How many more prompts were left out, because the reward model was trained on them."""
    bad_rows: Natural = 0
    """How many rows of the dataset were left out, because they cannot be used."""
    truth: str
    """Who says which answer is better."""
    policies: list[PolicyMismatch]
    """The policies, in the order in which they were named."""
    off_policy_accuracy: Metric | None
    """The reward model's accuracy on the pairs of a file; null without a file."""
    off_policy_left_out: dict[str, Natural] = Field(default_factory=dict[str, int])
    """How many pairs of the file were left out, by reason."""

    def words(self) -> Iterator[str]:
        """Yield the report as lines for a terminal."""
        yield f"reward model {terminal(self.reward)}, {plural(self.prompts, 'prompt')}"
        if self.trained_on:
            yield f"left out: {plural(self.trained_on, 'prompt')} that the reward model was trained on"
        if self.bad_rows:
            yield f"left out: {plural(self.bad_rows, 'row')} that cannot be used"
        yield f"who says which answer is better: {terminal(self.truth)}"
        if self.off_policy_accuracy is not None:
            yield f"accuracy on the pairs of the file: {share_words(self.off_policy_accuracy)}"
        for why, number in self.off_policy_left_out.items():
            yield f"  left out of the file: {number:,} {WORDS.get(why, why)}"
        for one in self.policies:
            yield f"policy {terminal(one.policy)}"
            right = "" if one.right is None or one.right.value is None else f", {percent(one.right.value)} right"
            yield f"  {plural(one.samples, 'sample')}, {one.unfinished:,} unfinished{right}"
            undecided = f", {one.undecided:,} undecided" if one.undecided else ""
            yield f"  {plural(one.pairs, 'pair')} with one better answer{undecided}"
            yield from (f"  {line}" for line in one.left_out())
            yield f"  mismatch {_rate(one.mismatch)}"
            for name, metric in one.correlation.items():
                yield f"  rank correlation with {name}: {_correlation(metric)}"


def _rate(metric: Metric) -> str:
    if metric.value is None:
        return "not measured: no prompt has a better and a worse answer"
    bounds = "" if metric.ci95 is None else f"95 % interval {percent_range(metric.ci95)}, "
    return f"{percent(metric.value)} ({bounds}{plural(metric.n, 'prompt')})"


def _correlation(metric: Metric) -> str:
    if metric.value is None:
        return NONE
    bounds = "" if metric.ci95 is None else f" ({metric.ci95[0]:.2f} to {metric.ci95[1]:.2f})"
    return f"{metric.value:.2f}{bounds}, n {metric.n:,}"
