"""An annotator in which ground truth judges some rows and another annotator judges the rest.

The share of ground truth sets the quality of the feedback.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from burnish.protocols import Annotator
from burnish.steps.artifacts import without_references
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Preference, short_hash


class MixedAnnotator:
    """Asks the oracle about some rows and another annotator about the rest.

    The id of a row decides which of the two judges it, so that it is the same one in every round and for every method.
    """

    def __init__(self, oracle: Annotator, other: Annotator, oracle_share: float, seed: int) -> None:
        self.oracle, self.other, self.oracle_share, self.seed = oracle, other, oracle_share, seed
        self.fingerprint = short_hash(oracle.fingerprint, other.fingerprint, repr(oracle_share), str(seed))
        self.order_free = oracle.order_free and other.order_free

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield the batches of the oracle, then those of the other annotator."""
        by_oracle = [c for c in comparisons if oracle_judges(c.example_id, self.oracle_share, self.seed)]
        chosen = {c.id for c in by_oracle}  # every comparison of the rows that the oracle judges
        yield from self.oracle.judge(by_oracle, done)
        yield from self.other.judge([c for c in comparisons if c.id not in chosen], done)


def oracle_judges(example_id: str, share: float, seed: int) -> bool:
    """Say whether the oracle judges an example. It does if a hash of seed and id, uniform in [0, 1], is below the
    share. With a share of 1 it judges every example."""
    # A row's own hash decides and not its place. So if rows are added or left out, the other rows keep their judge, and
    # the share holds only on average. The largest hashes are rounded up to 1.0, so a share of 1 needs its own test.
    return share == 1 or int(short_hash("oracle", str(seed), example_id), 16) / 2**64 < share


def mixed(oracle: AnnotatorPlan, other: AnnotatorPlan, oracle_share: float, seed: int) -> AnnotatorPlan:
    """Combine two plans. Each of the two fills only its share of the cap.

    Otherwise the oracle, which is always fully confident, would fill the whole cap.
    """

    def over(examples: Mapping[str, Example]) -> Annotator:
        # Only the oracle may see right answers.
        seen = examples if other.reads_references else without_references(examples)
        return MixedAnnotator(oracle.over(examples), other.over(seen), oracle_share, seed)

    # The rest of the plan stays that of the other annotator, for instance whether its judgements are coarse.
    return dataclasses.replace(
        other,
        kind="mixed",
        config={"kind": "mixed", "oracle_share": oracle_share, "seed": seed, "other": dict(other.config)},
        inputs={**oracle.inputs, **other.inputs},
        over=over,
        reads_references=True,
        shares={oracle.kind: oracle_share, other.kind: 1 - oracle_share},
    )
