"""The data types that all rooms share, and their identities.

The order in which a pair was shown is turned back in one place here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from pydantic import JsonValue

CHARACTERS_PER_TOKEN = 4
"""A rough estimate for English text and SQL, used where no tokenizer counts. Code and other languages have fewer."""


class Role(StrEnum):
    """The speaker of a chat message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt and, where it is known, its gold answer.

    Only grading and the oracle may read `reference`. Rows with the same `group` (equal prompts) are kept in one half of
    a split, so that no model labels a prompt that it has learned.
    """

    id: str
    group: str
    prompt: tuple[Message, ...]
    reference: str | None = None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


# These values are written to stores and read back. A changed source would also change the ids of demonstrations.
class DemonstrationSource(StrEnum):
    """Where a demonstration comes from."""

    GOLD = "gold"
    WEAK = "weak"
    HUMAN = "human"
    GIVEN = "given"
    PROPOSAL = "proposal"
    EDIT = "edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """An answer to an example's prompt. It is never edited: a refined dataset refers to other demonstrations.

    `producer` is the fingerprint of the artifact that wrote it, or "" for rows from the user. `round` counts from 0,
    which is before any refinement. `finished` is False if generation stopped at the token limit. `sample` numbers
    repeated draws from one model. It is not part of the identity: two draws with the same text are one demonstration.
    """

    example_id: str
    completion: str
    source: DemonstrationSource
    producer: str = ""
    round: int = 0
    finished: bool = True
    sample: int = 0

    @property
    def id(self) -> str:
        """The identity: a hash of the content and the origin, as 16 hex digits."""
        return demonstration_id(self.example_id, self.completion, self.source, self.producer, self.round)


IDENTITY = ("example_id", "completion", "source", "producer", "round")
"""The fields that make the identity of a demonstration."""


def demonstration_id(example_id: str, completion: str, source: str, producer: str, round_: int) -> str:
    """Return the identity of a demonstration from its fields."""
    # Ledgers name answers by this id, and comparisons are identified through it. Another recipe would break every old
    # store.
    return short_hash(example_id, completion, source, producer, str(round_))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two demonstrations of one example. In refinement, `a` is the current one and `b` is the proposal."""

    example_id: str
    a: Demonstration
    b: Demonstration

    @property
    def id(self) -> str:
        """The identity: a hash of the two sides in their order, as 16 hex digits."""
        # The order counts: a preference for b is only meaningful with a and b in their places.
        return short_hash(self.a.id, self.b.id)


# A verdict is never about "first" and "second". Those depend on the order in which a pair was shown, and are turned
# back at once by `turned_back`.
class Verdict(StrEnum):
    """A judge's verdict on a comparison, in the comparison's own order."""

    A = "A"
    B = "B"
    TIE = "tie"
    ABSTAIN = "abstain"


class Order(StrEnum):
    """The order in which a comparison was shown: `ab` is its own order, and `ba` is swapped."""

    AB = "ab"
    BA = "ba"

    @property
    def other(self) -> Order:
        """The other order."""
        return Order.BA if self is Order.AB else Order.AB


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A judgement of one comparison, in the comparison's own order.

    `shown` lists the orders in which it was judged. `raw` has, for each of them, the probability that the second answer
    shown is better, before it was turned back. What several people said is written in the pair's own order (ab). `p_b`
    is P(b is better) in [0, 1]. It is None only for an abstention. `logit` is log(p_b / (1 - p_b)) in nats where the
    judge computed p_b from it. It tells judgements apart whose p_b is exactly 1 or 0 in floats. It is None for other
    judges, and then files leave it out.
    """

    comparison_id: str
    shown: tuple[Order, ...]
    verdict: Verdict
    p_b: float | None
    judge: str
    raw: tuple[float, ...] = ()
    logit: float | None = None


class Accept(StrEnum):
    """Which verdict counts for a pair that was shown in two orders.

    `mean` takes the verdict of the mean. `both-orders` takes only a verdict on which both orders agree.
    """

    MEAN = "mean"
    BOTH_ORDERS = "both-orders"


class Reason(StrEnum):
    """Why a row was changed, or was not changed, in a round of refinement.

    `orders_disagree`: the two orders in which the pair was shown name different winners. The proposal is preferred, but
    `below_gate`: not confidently enough; `distrusted`: so are too many edits that make it worse; `stopped`: `rounds:
    auto` ended the refinement before this round; `over_risk`: an audit's bound on harm is above the limit; `removed`:
    the method leaves the row out. `reverted`: the user took the change back.
    """

    AGREED = "agreed"
    INVALID = "invalid"
    NOT_COMPARED = "not_compared"
    REJECTED = "rejected"
    TIE = "tie"
    ORDERS_DISAGREE = "orders_disagree"
    ABSTAINED = "abstained"
    BELOW_GATE = "below_gate"
    DISTRUSTED = "distrusted"
    OVER_CAP = "over_cap"
    STOPPED = "stopped"
    OVER_RISK = "over_risk"
    ACCEPTED = "accepted"
    REVERTED = "reverted"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
# All fields are plain values: each object is one line of ledger.jsonl. The ids name answers in the files of stages.
class Refinement:
    """One line of the ledger: what happened to one example in one round.

    `kept`, `proposed` and `chosen` are demonstration ids. `score` is the confidence |p_b - 0.5|, or None where nothing
    was compared. `p_b_ab` and `p_b_ba` are P(b is better) from the two orders, turned back. An annotator without an
    order fills only the first.
    """

    example_id: str
    round: int
    kept: str
    proposed: str
    chosen: str
    score: float | None
    p_b_ab: float | None
    p_b_ba: float | None
    annotator: str
    model: str
    reason: Reason


class Effect(StrEnum):
    """What a change of a label did, by the reference: whether the label was right before, and whether it is now."""

    WRONG_TO_RIGHT = "wrong_to_right"
    RIGHT_TO_WRONG = "right_to_wrong"
    WRONG_TO_WRONG = "wrong_to_wrong"
    RIGHT_TO_RIGHT = "right_to_right"


class AnswerKind(StrEnum):
    """The kind of final answer that a task compares."""

    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A final answer as `AnswerMatcher.extract` found it. `text` is its canonical form."""

    text: str
    kind: AnswerKind = AnswerKind.NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """Whether a completion is right, which final answer was extracted, and why it got this grade."""

    correct: bool
    extracted: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """A prompt with the completion to learn or to score. `id` names the row in error messages."""

    id: str
    prompt: tuple[Message, ...]
    completion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt to answer. `sample` numbers repeated draws for one id."""

    id: str
    messages: tuple[Message, ...]
    sample: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's answer to a prompt. `finished` is False if it reached the token limit."""

    id: str
    sample: int
    text: str
    finished: bool
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """Two answers in the order in which a comparator sees them. `second_better` is the label for training."""

    id: str
    prompt: tuple[Message, ...]
    first: str
    second: str
    second_better: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow:
    """A prompt with the preferred answer and the other answer. `id` names the pair in error messages."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A result that stages pass on: its folder, its kind, and the fingerprint of the stage that made it."""

    path: str
    kind: str
    fingerprint: str


def turned_back(p_second: float, order: Order) -> float:
    """Return P(b is better) from P(the second answer shown is better).

    This is the only place in burnish that flips the sides.
    """
    # No default case: the type checker reports an order that is added and not handled here.
    match order:
        case Order.AB:
            return p_second
        case Order.BA:
            return 1.0 - p_second


def is_whole(text: str) -> bool:
    """Say whether a text can be written as UTF-8. It cannot if it holds half a character (a lone surrogate)."""
    try:
        # JSON can hold a lone surrogate ("\ud83d"), but a file in UTF-8 cannot.
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def short_hash(*parts: str) -> str:
    """Return 16 hex digits of the sha256 of the parts, written as a JSON list.

    The list keeps the parts apart, so that ("a", "bc") and ("ab", "c") have different hashes.
    """
    # 64 bits are enough: a collision among a million texts has a chance of about 3e-8.
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]


def prompt_group(prompt: Iterable[Message]) -> str:
    """Return the group of a prompt. Equal prompts have the same group, whatever their ids are."""
    # Role and content alternate, so a text that moves to another role changes the group.
    return short_hash(*(part for message in prompt for part in (message.role, message.content)))


class Head(StrEnum):
    """The head of a model besides its vocabulary: none, one that compares two answers, or one that gives a reward."""

    NONE = "none"
    CLASSIFIER = "classifier"
    REWARD = "reward"
