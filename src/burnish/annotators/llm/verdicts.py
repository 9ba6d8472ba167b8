"""What a judge's reply says: P(the second one shown is better), from log-probabilities or from strict parsing.

None is an abstention. Nothing is guessed: a reply that does not say it plainly says nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from burnish.config import JudgeConfig
from burnish.services.calls import Position, Reply
from burnish.thinking import answer_start

KEPT = 16
"""Positions of a reply that are kept; a label stands among the first or is not what was asked for."""
_SPACE = " \t\r\n▁Ġ"
"""White space, and how tokenizers write a space where a server hands on their raw pieces."""
_LAYERS = (
    *(("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’")),
    *(("[[", "]]"), ("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("", ")"), ("", "")),
)
"""What may stand around a label, once."""
_STOPS = ".,:;!"
_VERDICT = re.compile(r"verdict:", re.IGNORECASE)
_MARKS = re.compile(r"[\s▁Ġ*_`\"'(\[]*")
"""What may stand between `Verdict:` and its label."""


def read_reply(reply: Reply, config: JudgeConfig) -> float | None:
    """Return P(the second one shown is better): by log-probabilities where they were given, else by the text."""
    if reply.positions is None or config.read == "text":
        return from_text(reply.text, config)
    return from_positions(reply.positions, config)


def kept_positions(positions: Sequence[Position], explained: bool) -> tuple[Position, ...]:
    """Return the positions that can hold the verdict: after the thinking, and after the last `Verdict:` if explained.

    Which labels are asked for does not matter here, so that kept replies can be read by corrected labels.
    """
    text = "".join(position.token for position in positions)
    start = _end_of_thinking(text)
    if start is None:
        return ()
    if explained:
        ends = [match.end() for match in _VERDICT.finditer(text, start)]
        if not ends:
            return ()
        start = ends[-1]
    offset, rest = 0, list[Position]()
    for position in positions:
        if offset >= start:
            rest.append(position)
        offset += len(position.token)
    return tuple(rest[:KEPT])


def from_positions(positions: Sequence[Position], config: JudgeConfig) -> float | None:
    """Return (P(B) + P(tie) / 2) / (P(A) + P(B) + P(tie)) at the verdict's position; a token not listed counts 0.

    The position is the first whose token is a label. Without one it is the first at all, since a judge that begins
    with `The` may still give weight to the labels; not so after an explanation, whose verdict must be there.
    Each label must be a single token for this.
    """
    names = _names(config)
    labels = (position for position in positions if position.token.strip(_SPACE) in names)
    found = next(labels, None)
    if found is not None and config.explain and not _follows_directly(positions, found):
        return None
    if found is None:
        if config.explain or not positions:
            return None
        found = positions[0]
    weight = [0.0, 0.0, 0.0]
    for token, logprob in found.top:
        name = token.strip(_SPACE)
        if name in names:
            weight[names.index(name)] += math.exp(min(logprob, 0.0))
    total = math.fsum(weight)
    return min(1.0, (weight[1] + weight[2] / 2) / total) if total > 0 else None


def _follows_directly(positions: Sequence[Position], found: Position) -> bool:
    before = "".join(position.token for position in positions[: positions.index(found)])
    return _MARKS.fullmatch(before) is not None


def from_text(text: str, config: JudgeConfig) -> float | None:
    """Return 0, 1 or 0.5 where the reply is a label and nothing else, or its last line is `Verdict: LABEL`."""
    start = _end_of_thinking(text)
    if start is None:
        return None
    answer = text[start:].strip()
    names, values = _names(config), (0.0, 1.0, 0.5)
    last = answer.rpartition("\n")[2].replace("*", "").replace("`", "").strip()
    verdict = _VERDICT.match(last)
    name = _bare(answer, names) or (_bare(last[verdict.end() :], names) if verdict else None)
    return None if name is None else values[names.index(name)]


def _bare(text: str, names: Sequence[str]) -> str | None:
    """Return the label that `text` is, but for white space, one layer around it and a stop at the end of either."""
    text = text.strip()
    for whole in (text, text[:-1] if text[-1:] in _STOPS else text):
        for before, after in _LAYERS:
            if whole.startswith(before) and whole.endswith(after):
                inner = whole[len(before) : len(whole) - len(after)].strip()
                for name in (inner, inner[:-1] if before and inner[-1:] in _STOPS else inner):
                    if name in names:
                        return name
    return None


def _names(config: JudgeConfig) -> tuple[str, ...]:
    return (*config.labels, config.tie) if config.tie else config.labels


def _end_of_thinking(text: str) -> int | None:
    """Return where the answer begins, None where the thinking has no end. Its begin may stand in the chat template."""
    return answer_start(text)
