"""Turns a judge's reply into P(the answer shown second is better), from log-probabilities or from the text.

A reply that does not say plainly which answer is better is an abstention with its reason. Nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from burnish.algorithms.thinking import answer_start
from burnish.annotators.llm.wording import MARKS, SPACE, STOPS, VERDICT, Unread, begins_with, named, same_label
from burnish.config import JudgeConfig
from burnish.services.calls import Position, Reply

KEPT = 16
"""How many positions of a reply are kept. A label that comes later is not an answer to what was asked."""


def read_reply(reply: Reply, config: JudgeConfig) -> float | Unread:
    """Return P(the answer shown second is better), or why the reply has no verdict.

    Log-probabilities are used if the server gave them and the config allows it, and otherwise the text.
    """
    if reply.positions is None or config.read == "text":
        return from_text(reply.text, config)
    return from_positions(reply.positions, config, reply.text)


def kept_positions(positions: Sequence[Position], explained: bool) -> tuple[Position, ...]:
    """Return the positions that can hold the verdict: those after the thinking, and, if the judge explains, after the
    last `Verdict:`.

    The labels are not used here. So if a user corrects the labels, replies that were kept can be read again.
    """
    text = "".join(position.token for position in positions)
    start = _end_of_thinking(text)
    if start is None:
        return ()
    # The explanation may contain `Verdict:`, too. The judge is asked to end with it, so the last one counts.
    if explained:
        ends = [match.end() for match in VERDICT.finditer(text, start)]
        if not ends:
            return ()
        start = ends[-1]
    # `start` counts characters of the text that the tokens make together. A token that begins before it is left out.
    offset, rest = 0, list[Position]()
    for position in positions:
        if offset >= start:
            rest.append(position)
        offset += len(position.token)
    return tuple(rest[:KEPT])


def from_positions(positions: Sequence[Position], config: JudgeConfig, text: str | None = None) -> float | Unread:
    """Return (P(B) + P(tie) / 2) / (P(A) + P(B) + P(tie)) at the position of the verdict, or why there is no verdict.

    A token that is not listed counts as probability 0. The verdict is the first token that is more than white space,
    quotes or markup, and this token must be a label. If it is not, the text may still have a form that names a label
    (`Answer: B`). Then the verdict is the token of that label. The text, if there is one, must name the same label. All
    labels together need a probability of `min_mass` at this position. Each label must be a single token.
    """
    names = _names(config)
    if text is not None and _answer_in(text) is None:
        return Unread.THINKING
    first = next((position for position in positions if _is_more_than_marks(position.token)), None)
    label = None if first is None else _label(first.token, names)
    if label is not None and first is not None and (text is None or _agrees(text, label, config)):
        return _share(first, config)
    named_label = Unread.NO_LABEL if text is None else _named(text, config)
    if isinstance(named_label, Unread):
        return named_label
    # Either the first token is another label than the text names, or the judge explains and no token may come before
    # its label.
    if label is not None or config.explain:
        return Unread.UNCLEAR
    matching = [position for position in positions if _label(position.token, names) == named_label]
    return _share(matching[-1], config) if matching else Unread.NO_PROBABILITY


def _share(position: Position, config: JudgeConfig) -> float | Unread:
    # Several tokens can be the same label, such as `B`, ` B` and `b`, so their probabilities are added.
    names, weight = _names(config), [0.0, 0.0, 0.0]
    for token, logprob in position.top:
        if (label := _label(token, names)) is not None:
            # Whatever a server sends, a probability is at most 1.
            weight[names.index(label)] += math.exp(min(logprob, 0.0))
    # If the labels have little probability, the model did not mean to answer with a label, so it abstains.
    total = math.fsum(weight)
    if total <= 0 or total < config.min_mass:
        return Unread.LITTLE_MASS
    return min(1.0, (weight[1] + weight[2] / 2) / total)


def _agrees(text: str, label: str, config: JudgeConfig) -> bool:
    """Say whether a text gives the label with which its log-probabilities begin.

    This also holds for a reply that was cut off in the middle of its reasons, after the label. `from_text` alone would
    not accept such a reply.
    """
    answer = _answer_in(text) or ""
    if config.explain:
        ends = [match.end() for match in VERDICT.finditer(answer)]
        answer = answer[ends[-1] :] if ends else answer
    return not answer.strip() or begins_with(answer, label, _names(config)) or _named(text, config) == label


def from_text(text: str, config: JudgeConfig) -> float | Unread:
    """Return 0 (the first answer is better), 1 (the second) or 0.5 (a tie), or why the text has no verdict.

    The text must have a form that names one label and no other.
    """
    names, label = _names(config), _named(text, config)
    return label if isinstance(label, Unread) else (0.0, 1.0, 0.5)[names.index(label)]


def _named(text: str, config: JudgeConfig) -> str | Unread:
    answer = _answer_in(text)
    return Unread.THINKING if answer is None else named(answer, _names(config), len(config.labels))


def _answer_in(text: str) -> str | None:
    start = _end_of_thinking(text)
    return None if start is None else text[start:]


def _is_more_than_marks(token: str) -> bool:
    return token.strip(SPACE + MARKS) != ""


def _label(token: str, names: Sequence[str]) -> str | None:
    """Return the label that a token is, or None. Quotes, markup and a stop may be part of the token."""
    # It compares twice. A label may itself have such signs, as in `[A]`, so the token is first compared as it is.
    plain = token.strip(SPACE)
    return same_label(plain, names) or same_label(plain.strip(MARKS + STOPS), names)


def _names(config: JudgeConfig) -> tuple[str, ...]:
    return (*config.labels, config.tie) if config.tie else config.labels


def _end_of_thinking(text: str) -> int | None:
    """Return where the answer begins, or None if the thinking does not end. The beginning of the thinking may be
    missing, because it can be part of the chat template."""
    return answer_start(text)
