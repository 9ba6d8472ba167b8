"""Which samples of a policy are right, and which pairs of a right and a wrong one a reward model misjudges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burnish.algorithms.mismatch import PromptMismatch, by_checker
from burnish.errors import DataError
from burnish.perturbations import Checker
from burnish.protocols import Score
from burnish.results import Metric
from burnish.steps.mismatch import distinct
from burnish.steps.perturbing import candidate_id
from burnish.types import Demonstration, Example


def reward_of(one: Demonstration, samples: Sequence[Demonstration], rewarded: Mapping[str, Score]) -> float | None:
    """Return the reward of a sample, or None if it does not fit into the reward model."""
    score = rewarded.get(candidate_id(one.example_id, distinct(samples)[one.completion]))
    return None if score is None else score.value


def checked_samples(
    checker: Checker,
    examples: Sequence[Example],
    samples: Mapping[str, Sequence[Demonstration]],
    rewarded: Mapping[str, Score],
) -> tuple[list[PromptMismatch], Metric]:
    """Let the checker say which samples are right. A sample counts as often as it was drawn.

    Prompts in whose gold answer the checker finds no final answer are left out.

    Raises DataError if the checker finds no final answer in any gold answer.
    """
    found: list[PromptMismatch] = []
    correct = drawn = 0
    for example in examples:
        matcher = checker.grader.on(example)
        gold = matcher.extract(example.reference or "")
        if gold is None:
            continue
        rewards: dict[bool, list[float]] = {True: [], False: []}
        for one in samples.get(example.id, []):
            answer = matcher.extract(one.completion) if one.finished else None
            right = answer is not None and matcher.agree(answer, gold)
            correct, drawn = correct + right, drawn + 1
            value = reward_of(one, samples[example.id], rewarded) if one.finished else None
            if value is not None:
                rewards[right].append(value)
        found.append(by_checker(example.id, rewards[True], rewards[False]))
    if not found:
        raise DataError(
            f"--checker: {checker.kind!r} finds no final answer in any of {len(examples):,} gold answers; name another "
            "checker"
        )
    return found, Metric(value=correct / drawn if drawn else None, n=drawn, ci95=None)
