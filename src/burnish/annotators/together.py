"""Several annotators that vote. Each of them is asked about all comparisons.

This is used where there is no stage that keeps the verdicts of each annotator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import voted
from burnish.protocols import Annotator, AsksAgain
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Preference, short_hash


class Together:
    """Judges by a vote: P(b is better) is the share of the votes for b. An annotator that abstains has no vote."""

    def __init__(self, members: Sequence[Annotator]) -> None:
        self.members = tuple(members)
        self.fingerprint = short_hash("together", *(member.fingerprint for member in members))
        self.order_free = all(member.order_free for member in members)

    def again(self) -> Together:
        """Return the same annotators, but made so that they ask again instead of reusing their earlier answers."""
        return Together([member.again() if isinstance(member, AsksAgain) else member for member in self.members])

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield one batch with the results of all votes."""
        votes: dict[str, list[Preference]] = {one.id: [] for one in comparisons if one.id not in done}
        # Only the self-test calls this, and there nothing is done yet. In a round, each member judges in its own stage.
        for member in self.members:
            for batch in member.judge(comparisons, done):
                for preference in batch:
                    # A member may repeat preferences that are done, such as the verdicts in a file of people.
                    if preference.comparison_id in votes:
                        votes[preference.comparison_id].append(preference)
        yield [voted(preferences) for preferences in votes.values()]


def majority(members: Sequence[AnnotatorPlan]) -> AnnotatorPlan:
    """Return the plan of a vote of several annotators. In a round, each of them judges in a stage of its own."""
    return AnnotatorPlan(
        kind="majority",
        # The members are not listed here, because their verdicts come from their own stages, which are inputs of the
        # vote.
        config={"kind": "majority"},
        # The place is in the name because two voters of the same kind both have an input `judge`.
        inputs={f"{place}_{name}": one for place, m in enumerate(members) for name, one in m.inputs.items()},
        over=lambda examples: Together([member.over(examples) for member in members]),
        order_free=all(member.order_free for member in members),
        coarse=any(member.coarse for member in members),
        reads_references=any(member.reads_references for member in members),
        members=tuple(members),
    )
