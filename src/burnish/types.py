"""The five data types, what they are identified by, and the one place where a shown order is turned back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from pydantic import JsonValue

CHARACTERS_PER_TOKEN = 4
"""A rough count for English text and SQL, where no tokenizer counts; code and other languages have fewer."""


class Role(StrEnum):
    """Who speaks in a chat message."""

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

    Only grading and the oracle may read `reference`. Rows with one `group` (equal prompts) stay in one half.
    """

    id: str
    group: str
    prompt: tuple[Message, ...]
    reference: str | None = None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


class DemonstrationSource(StrEnum):
    """Where a demonstration comes from."""

    GOLD = "gold"
    WEAK = "weak"
    HUMAN = "human"
    GIVEN = "given"
    PROPOSAL = "proposal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """An answer to an example's prompt. Never edited: a refined dataset points at other demonstrations.

    `producer` is the fingerprint of the artifact that wrote it ("" for given rows); `round` counts from 0 (before
    any refinement). `finished` is False where generation stopped at the token limit. `sample` numbers repeated draws
    from one model; it is not identity: two draws of one text are one demonstration.
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
        """Identity by content and origin: 16 hex digits."""
        return short_hash(self.example_id, self.completion, self.source, self.producer, str(self.round))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two demonstrations of one example. In refinement `a` is the current one, `b` the proposal."""

    example_id: str
    a: Demonstration
    b: Demonstration

    @property
    def id(self) -> str:
        """Identity by the two sides in their order: 16 hex digits."""
        return short_hash(self.a.id, self.b.id)


class Verdict(StrEnum):
    """What a judge says of a comparison, in the comparison's own order."""

    A = "A"
    B = "B"
    TIE = "tie"
    ABSTAIN = "abstain"


class Order(StrEnum):
    """How a comparison was shown: `ab` as it stands, `ba` swapped."""

    AB = "ab"
    BA = "ba"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A judgement of one comparison, already turned back to the comparison's own order.

    `shown` lists the orders that were judged; `raw` has the probability of "the second one shown" for each of
    them, before it was turned back. `p_b` is P(b is better) in [0, 1]; it is None for an abstention alone.
    """

    comparison_id: str
    shown: tuple[Order, ...]
    verdict: Verdict
    p_b: float | None
    judge: str
    raw: tuple[float, ...] = ()


class Accept(StrEnum):
    """Which verdict on a pair that was shown in two orders counts: the mean's, or only one that both orders share."""

    MEAN = "mean"
    BOTH_ORDERS = "both-orders"


class Reason(StrEnum):
    """Why a row was changed, or was not, in a round of refinement.

    `orders_disagree`: each of the two orders in which the pair was shown names another winner. `below_gate`:
    preferred, but not confidently enough. `over_risk`: an audit's bound on harm is above what is allowed.
    `reverted`: the user undid it.
    """

    AGREED = "agreed"
    INVALID = "invalid"
    NOT_COMPARED = "not_compared"
    REJECTED = "rejected"
    TIE = "tie"
    ORDERS_DISAGREE = "orders_disagree"
    ABSTAINED = "abstained"
    BELOW_GATE = "below_gate"
    OVER_CAP = "over_cap"
    OVER_RISK = "over_risk"
    ACCEPTED = "accepted"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """One line of the ledger: what happened to one example in one round.

    `score` is the confidence |p_b - 0.5|, None where nothing was compared. `p_b_ab` and `p_b_ba` are P(b is better)
    from the two orders, turned back; an order-free annotator fills the first alone.
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


class AnswerKind(StrEnum):
    """What kind of final answer a task compares."""

    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A final answer as `Task.extract` found it; `text` is its canonical form."""

    text: str
    kind: AnswerKind = AnswerKind.NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """Whether a completion is right, what was extracted from it, and why it counts as it does."""

    correct: bool
    extracted: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """A prompt with the completion to learn (or to score); `id` names the row in errors."""

    id: str
    prompt: tuple[Message, ...]
    completion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt to answer; `sample` numbers repeated draws for one id."""

    id: str
    messages: tuple[Message, ...]
    sample: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model wrote for a prompt. `finished` is False where it hit the token limit."""

    id: str
    sample: int
    text: str
    finished: bool
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """Two answers in the order in which a comparator sees them; `second_better` is its training label."""

    id: str
    prompt: tuple[Message, ...]
    first: str
    second: str
    second_better: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow:
    """A prompt with the preferred answer and the other one; `id` names the pair in errors."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A result that stages exchange: where it lies, what it is, and the fingerprint of what made it."""

    path: str
    kind: str
    fingerprint: str


def turned_back(p_second: float, order: Order) -> float:
    """Return P(b is better) from P(the second one shown is better): the only flip of sides in burnish."""
    match order:
        case Order.AB:
            return p_second
        case Order.BA:
            return 1.0 - p_second


def short_hash(*parts: str) -> str:
    """Return 16 hex digits of the sha256 of the parts as a JSON list, so that ("a", "bc") differs from ("ab", "c")."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]


def prompt_group(prompt: Iterable[Message]) -> str:
    """Return the group of a prompt: equal prompts, whatever their ids, share it."""
    return short_hash(*(part for message in prompt for part in (message.role, message.content)))


class Head(StrEnum):
    """What a model ends in, besides its vocabulary."""

    NONE = "none"
    CLASSIFIER = "classifier"
    REWARD = "reward"
