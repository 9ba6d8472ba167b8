"""What stages know the reader of answers by: a kind of task, and the version of how its answers are read.

A stage that was finished with another reader may hold other answers or grades, so it is run again. Answers that are
read as in the first version keep the bare kind.
"""

from __future__ import annotations

from burnish.protocols import Grader
from burnish.sql import extract
from burnish.tasks import numbers
from burnish.tasks.sql_answers import SqlAnswers


def reader_of(kind: str, grader: Grader) -> str:
    """Return what stages that compare or grade answers know them by."""
    if isinstance(grader, numbers.NumericAnswers) and not isinstance(grader, numbers.SumAnswers):
        return f"{kind}, numbers {numbers.VERSION}"
    return learner_of(kind, grader)


def learner_of(kind: str, grader: Grader) -> str:
    """Return what training knows answers by: which numbers are learned no version has changed (see `learned`)."""
    return f"{kind}, queries {extract.VERSION}" if isinstance(grader, SqlAnswers) else kind
