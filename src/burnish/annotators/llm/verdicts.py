"""What a judge's reply says: P(the second one shown is better), from log-probabilities or from the text.

Everything else is an abstention with its reason. Nothing is guessed: a reply that does not say it plainly says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from burnish.annotators.llm.wording import MARKS, SPACE, STOPS, VERDICT, Unread, begins_with, named, same_label
from burnish.config import JudgeConfig
from burnish.services.calls import Position, Reply
from burnish.thinking import answer_start

KEPT = 16
"""Positions of a reply that are kept; a label stands among the first or is not what was asked for."""


def read_reply(reply: Reply, config: JudgeConfig) -> float | Unread:
    """Return P(the second one shown is better): by log-probabilities where they were given, else by the text."""
    if reply.positions is None or config.read == "text":
        return from_text(reply.text, config)
    return from_positions(reply.positions, config, reply.text)


def kept_positions(positions: Sequence[Position], explained: bool) -> tuple[Position, ...]:
    """Return the positions that can hold the verdict: after the thinking, and after the last `Verdict:` if explained.

    Which labels are asked for does not matter here, so that kept replies can be read by corrected labels.
    """
    text = "".join(position.token for position in positions)
    start = _end_of_thinking(text)
    if start is None:
        return ()
    if explained:
        ends = [match.end() for match in VERDICT.finditer(text, start)]
        if not ends:
            return ()
        start = ends[-1]
    offset, rest = 0, list[Position]()
    for position in positions:
        if offset >= start:
            rest.append(position)
        offset += len(position.token)
    return tuple(rest[:KEPT])


def from_positions(positions: Sequence[Position], config: JudgeConfig, text: str | None = None) -> float | Unread:
    """Return (P(B) + P(tie) / 2) / (P(A) + P(B) + P(tie)) at the verdict's position; a token not listed counts 0.

    The verdict is the first token that is more than white space, quotes or markup, and it has to be a label. Where it
    is not, the text may still be a form that names one (`Answer: B`): then the verdict is that label's token. The text,
    where there is one, has to name the same label. All labels together need a probability of `min_mass` there.
    Each label must be a single token for this.
    """
    names = _names(config)
    if text is not None and _answer_in(text) is None:
        return Unread.THINKING
    first = next((position for position in positions if _is_more_than_marks(position.token)), None)
    label = None if first is None else _label(first.token, names)
    if label is not None and first is not None and (text is None or _agrees(text, label, config)):
        return _share(first, config)
    said = Unread.NO_LABEL if text is None else _named(text, config)
    if isinstance(said, Unread):
        return said
    if label is not None or config.explain:  # the first label is another one, or nothing may come before it
        return Unread.UNCLEAR
    found = [position for position in positions if _label(position.token, names) == said]
    return _share(found[-1], config) if found else Unread.NO_PROBABILITY


def _share(position: Position, config: JudgeConfig) -> float | Unread:
    names, weight = _names(config), [0.0, 0.0, 0.0]
    for token, logprob in position.top:
        if (label := _label(token, names)) is not None:
            weight[names.index(label)] += math.exp(min(logprob, 0.0))
    total = math.fsum(weight)
    if total <= 0 or total < config.min_mass:
        return Unread.LITTLE_MASS
    return min(1.0, (weight[1] + weight[2] / 2) / total)


def _agrees(text: str, label: str, config: JudgeConfig) -> bool:
    """Say whether a text gives the label that its log-probabilities begin with. A reply that was cut off after the
    label, in the middle of its reasons, does; for `from_text` alone it would not be plain enough."""
    answer = _answer_in(text) or ""
    if config.explain:
        ends = [match.end() for match in VERDICT.finditer(answer)]
        answer = answer[ends[-1] :] if ends else answer
    return not answer.strip() or begins_with(answer, label, _names(config)) or _named(text, config) == label


def from_text(text: str, config: JudgeConfig) -> float | Unread:
    """Return 0, 1 or 0.5 where the reply has a form that names one label and no other."""
    names, said = _names(config), _named(text, config)
    return said if isinstance(said, Unread) else (0.0, 1.0, 0.5)[names.index(said)]


def _named(text: str, config: JudgeConfig) -> str | Unread:
    answer = _answer_in(text)
    return Unread.THINKING if answer is None else named(answer, _names(config), len(config.labels))


def _answer_in(text: str) -> str | None:
    start = _end_of_thinking(text)
    return None if start is None else text[start:]


def _is_more_than_marks(token: str) -> bool:
    return token.strip(SPACE + MARKS) != ""


def _label(token: str, names: Sequence[str]) -> str | None:
    """Return the label that a token is; quotes, markup and a stop may belong to the same token."""
    plain = token.strip(SPACE)
    return same_label(plain, names) or same_label(plain.strip(MARKS + STOPS), names)


def _names(config: JudgeConfig) -> tuple[str, ...]:
    return (*config.labels, config.tie) if config.tie else config.labels


def _end_of_thinking(text: str) -> int | None:
    """Return where the answer begins, None where the thinking has no end. Its begin may stand in the chat template."""
    return answer_start(text)
