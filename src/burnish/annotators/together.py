"""Several annotators that vote, each asked about all comparisons: for where no stage keeps what each has said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from burnish.algorithms.comparisons import voted
from burnish.protocols import Annotator, AsksAgain
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Preference, short_hash


class Together:
    """P(b is better) is the share of votes for b; one that abstains has no vote."""

    def __init__(self, members: Sequence[Annotator]) -> None:
        self.members = tuple(members)
        self.fingerprint = short_hash("together", *(member.fingerprint for member in members))
        self.order_free = all(member.order_free for member in members)

    def again(self) -> Together:
        """Return the same annotators, none of which takes its own earlier answers."""
        return Together([member.again() if isinstance(member, AsksAgain) else member for member in self.members])

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield the votes in one batch."""
        said: dict[str, list[Preference]] = {one.id: [] for one in comparisons if one.id not in done}
        for member in self.members:
            for batch in member.judge(comparisons, done):
                for preference in batch:
                    said[preference.comparison_id].append(preference)
        yield [voted(preferences) for preferences in said.values()]


def majority(members: Sequence[AnnotatorPlan]) -> AnnotatorPlan:
    """Return the vote of several annotators; in a round each of them judges in a stage of its own."""
    return AnnotatorPlan(
        kind="majority",
        config={"kind": "majority"},
        inputs={f"{place}_{name}": one for place, m in enumerate(members) for name, one in m.inputs.items()},
        over=lambda examples: Together([member.over(examples) for member in members]),
        order_free=all(member.order_free for member in members),
        reads_references=any(member.reads_references for member in members),
        members=tuple(members),
    )
