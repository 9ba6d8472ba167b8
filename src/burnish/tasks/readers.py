"""What stages know the reader of answers by: a kind of task, and the version of how its answers are read.

A stage that was finished with another reader may hold other answers or grades, so it is run again. Answers that are
read as in the first version keep the bare kind. So does training: which answers are learned no version has changed
(see `learned` of the graders).
"""

from __future__ import annotations

from burnish.protocols import Grader
from burnish.sql import extract
from burnish.tasks import numbers
from burnish.tasks.sql_answers import SqlAnswers


def reader_of(kind: str, grader: Grader) -> str:
    """Return what stages that compare or grade answers know them by."""
    if isinstance(grader, SqlAnswers):
        return f"{kind}, queries {extract.VERSION}"
    # SumAnswers inherits from NumericAnswers but reads as the first version did, so its stages stay valid.
    if isinstance(grader, numbers.NumericAnswers) and not isinstance(grader, numbers.SumAnswers):
        return f"{kind}, numbers {numbers.VERSION}"
    return kind
