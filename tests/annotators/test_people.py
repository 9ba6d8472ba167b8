"""People as annotators: how sure they are moves the probability, and others who agree move it further."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.algorithms.ranking import Candidate
from burnish.algorithms.refinement import select
from burnish.annotators.people import PeopleAnnotator
from burnish.people.mailbox import Annotation, Mailbox, Purpose, Said
from burnish.types import Comparison, Demonstration, DemonstrationSource, Example, Message, Order, Reason, Role, Verdict


def demonstration(text: str) -> Demonstration:
    return Demonstration(example_id="e", completion=text, source=DemonstrationSource.PROPOSAL)


PAIR = Comparison(example_id="e", a=demonstration("a"), b=demonstration("b"))
EXAMPLES = {"e": Example(id="e", group="g", prompt=(Message(role=Role.USER, content="q"),))}


@pytest.mark.parametrize(
    ("verdicts", "p_b"),
    [
        ([(Said.SECOND, None)], 1.0),
        ([(Said.SECOND, 1.0)], 1.0),
        ([(Said.SECOND, 0.6)], 0.8),
        ([(Said.FIRST, 0.6)], 0.2),
        ([(Said.SECOND, 0.0)], 0.5),
        ([(Said.TIE, 0.9)], 0.5),
        ([(Said.ABSTAIN, 0.9)], None),
        ([(Said.SECOND, 0.6), (Said.SECOND, 0.2)], 0.7),
        ([(Said.SECOND, 0.6), (Said.FIRST, 0.6)], 0.5),
        ([(Said.SECOND, 0.6), (Said.SECOND, None)], 0.9),
        ([(Said.SECOND, None), (Said.SECOND, None), (Said.FIRST, None)], 2 / 3),
    ],
)
def test_what_people_come_to(tmp_path: Path, verdicts: list[tuple[Said, float | None]], p_b: float | None) -> None:
    mailbox = Mailbox(tmp_path)
    mailbox.answer(
        [
            Annotation(id=f"compare-{PAIR.id}", said=said, by=f"p{n}", shown=Order.AB, confidence=confidence)
            for n, (said, confidence) in enumerate(verdicts)
        ]
    )
    ((preference,),) = PeopleAnnotator(mailbox, Purpose.COMPARE, EXAMPLES, 0).judge([PAIR], set())
    assert preference.p_b == (None if p_b is None else pytest.approx(p_b))


def test_equal_confidence_is_ranked_by_what_the_seed_draws_and_not_by_the_id() -> None:
    ranks = {"a": "2", "b": "1", "c": "3"}
    candidates = [
        Candidate(example_id=id_, screened=None, verdict=Verdict.B, p_b=1.0, rank=rank) for id_, rank in ranks.items()
    ]
    assert select(candidates, 1 / 3, 3) == [Reason.OVER_CAP, Reason.ACCEPTED, Reason.OVER_CAP]
