"""SEAM inside ILR: how many edits of a proposal the annotator prefers to it.

SEAM asks which worse answers a reward model prefers to the gold answer. In a refinement there is no gold answer and no
reward model: the proposal takes the place of the gold answer, and the annotator that of the reward model. This transfer
is ours; the paper (arXiv 2406.07971) does not have it. An annotator that prefers edits which make the proposal worse
does not see what its comparison is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from burnish.algorithms.comparisons import VOTES, vote_of
from burnish.types import Accept, Comparison, Demonstration, DemonstrationSource, Preference, Verdict


def with_edits(proposal: Demonstration, texts: Iterable[str], by: str) -> list[Comparison]:
    """Return the comparisons of a proposal (side a) with edits of it (side b). `by` identifies what made the edits."""
    return [
        Comparison(
            example_id=proposal.example_id,
            a=proposal,
            b=Demonstration(
                example_id=proposal.example_id,
                completion=text,
                source=DemonstrationSource.EDIT,
                producer=by,
                round=proposal.round,
            ),
        )
        for text in texts
    ]


def doubt(preferences: Sequence[Preference], accept: Accept) -> float | None:
    """Return the share of edits that are preferred to their proposal, which is side a of each comparison.

    It is SEAM's variant `count`. A tie is half of an edit, and abstentions are left out. With `BOTH_ORDERS`, two orders
    that name different winners are a tie. Returns None if no edit was judged: the share is then undefined, and never 0.
    """
    votes = [vote_of(preference, accept) for preference in preferences]
    shares = [VOTES[vote] for vote in votes if vote is not Verdict.ABSTAIN]
    return math.fsum(shares) / len(shares) if shares else None
