"""The name of the code that reads answers, in the identity of stages: a kind of task, and the version of the reading.

A stage that was finished with another version may have other answers or grades, so it runs again. If answers are still
read as in the first version, the name is only the kind. Training also uses only the kind, because no version has
changed which answers it learns from (see `learned` of the graders).
"""

from __future__ import annotations

from burnish.protocols import Grader
from burnish.sql import extract
from burnish.tasks import numbers
from burnish.tasks.sql_answers import SqlAnswers


def reader_of(kind: str, grader: Grader) -> str:
    """Return the name that stages which compare or grade answers have in their identity."""
    if isinstance(grader, SqlAnswers):
        return f"{kind}, queries {extract.VERSION}"
    # SumAnswers inherits from NumericAnswers but reads as the first version did, so its stages stay valid.
    if isinstance(grader, numbers.NumericAnswers) and not isinstance(grader, numbers.SumAnswers):
        return f"{kind}, numbers {numbers.VERSION}"
    return kind
