"""The words of a study: the states of a sitting and of its questions, and what the operations of the storage return."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from burnish.errors import BurnishError, StageError
from burnish.types import Order


class StudyState(StrEnum):
    """Whether new people may begin. People who have begun go on in every state."""

    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"


class ItemRole(StrEnum):
    """What an item is for.

    `work` is real work, and `screening` a pair that lets people in. A `check` is a question that is judged by hand.
    `gold` is a pair with a known answer that stands among the work.
    """

    WORK = "work"
    SCREENING = "screening"
    CHECK = "check"
    GOLD = "gold"


class AttemptState(StrEnum):
    """The state of a sitting. `finished` and all states after it are ends."""

    ARRIVED = "arrived"
    CONSENTED = "consented"
    SCREENING = "screening"
    WORKING = "working"
    FINISHED = "finished"
    SCREENED_OUT = "screened_out"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"


UNDER_WAY = (AttemptState.CONSENTED, AttemptState.SCREENING, AttemptState.WORKING)
"""The states in which a sitting holds items."""
ENDS = (AttemptState.FINISHED, AttemptState.SCREENED_OUT, AttemptState.TIMED_OUT, AttemptState.WITHDRAWN)


class AssignmentState(StrEnum):
    """The state of one question of a sitting."""

    PLANNED = "planned"
    SHOWN = "shown"
    ANSWERED = "answered"
    RELEASED = "released"
    VOIDED = "voided"


class ReviewVerdict(StrEnum):
    """What the administrator says about a sitting. The last word counts."""

    ACCEPT = "accept"
    REJECT = "reject"


class NoSuchQuestion(BurnishError):  # noqa: N818 a fact about a link, and no mistake of a user of burnish
    """A link or form names a session or a question that does not exist for this person."""


class NotStored(StageError):  # noqa: N818 the words that a reader of the code needs
    """The study's file cannot be written, for example because the disk is full. Nothing was lost or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person as a link names them. These ids are written to one table only, so that they can be deleted."""

    platform: str
    id: str
    study: str = ""
    session: str = ""


class Closed(StrEnum):
    """Why nobody new can begin now."""

    FULL = "full"
    PAUSED = "paused"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What came of opening the link: the secret of a new session, or why there is none."""

    session: str | None
    refused: Closed | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a person is. `code` is the name of the code that they get at an end, such as `complete`."""

    state: AttemptState
    public: str
    code: str | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownQuestion:
    """The open question of a person, in the order in which it is shown.

    `number` and `of` count the questions of this part: `screening` or the work. `again` is true in a second try of the
    screening. `elapsed` are seconds since the question was first shown, by the server's clock.
    """

    token: str
    role: ItemRole
    prompt: str
    first: str
    second: str
    draft: str
    number: int
    of: int
    again: bool
    elapsed: float
    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SentReply:
    """What a person sends for a question: a text in a demonstration study; a value and a note in a comparison.

    `value` is on the scale as it was shown: the negative end is for the first answer. `pasted` counts the characters
    that were pasted, and `trapped` says that a field was filled that only programs see.
    """

    text: str = ""
    value: int | None = None
    note: str = ""
    pasted: int = 0
    trapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyItem:
    """An item as it enters a study. The sides are in their own order, and `a` is the current label in refinement.

    `name` is the id that the export gives back. `expected` is "a" or "b" for a pair with a known answer, and words for
    people who judge a check. `weight` is 1 / P(the item was sent to people), and `why` says why it was sent.
    """

    name: str
    role: ItemRole
    prompt: str
    a: str = ""
    b: str = ""
    a_source: str = ""
    b_source: str = ""
    example_id: str = ""
    expected: str = ""
    weight: float = 1.0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """An answer with all that is known about it, for the export and the administrator's pages.

    `a` and `b` are the sides of a pair in its own order.
    """

    item: str
    role: ItemRole
    example_id: str
    prompt: str
    a: str
    b: str
    expected: str
    by: str
    shown: Order | None
    state: AssignmentState
    text: str
    value: int | None
    note: str
    seconds: float
    late: bool
    early: bool
    trial: int
    weight: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCounts:
    """The numbers of a study. All counts of answers and the median are those of work, without check questions."""

    state: StudyState
    items: int
    wanted: int
    free: int
    live: int
    answered: int
    extra: int
    attempts: dict[str, int]
    median_seconds: float | None
    last_hour: int
