"""Finds the prompts of an experiment that its reward models were trained on. Rewards of these say nothing of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from burnish.config import Config
from burnish.report.text import plural
from burnish.rewards.trained_prompts import prompts_of
from burnish.types import Example, Head, prompt_group


def seen_by_reward_models(config: Config, train: Sequence[Example], test: Sequence[Example]) -> Iterator[str]:
    """Yield a warning for each reward model of RL that was trained on prompts of the experiment.

    They are known if burnish trained the model. Raises DataError if the file with them is damaged.
    """
    for place, method in enumerate(config.methods):
        for wanted in method.models(f"methods.{place}"):
            seen = prompts_of(wanted.model) if wanted.head is Head.REWARD else frozenset[str]()
            # Grouping all prompts takes a while, and most models have seen none that are known.
            of_train, of_test = (_count(seen, rows) if seen else 0 for rows in (train, test))
            if of_train or of_test:
                where = f"{plural(of_train, 'row')} of {len(train):,} for training"
                yield (
                    f"{wanted.field}: {wanted.model.source!r} was trained on the prompts of {where} and of "
                    f"{plural(of_test, 'row')} of {len(test):,} for the test; what it says of these prompts does not "
                    "show what it is worth on others"
                )


def _count(seen: frozenset[str], rows: Sequence[Example]) -> int:
    return sum(prompt_group(example.prompt) in seen for example in rows)
