"""Which label a reply names in words. A reply counts if it has one of a few forms that name exactly one label."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

SPACE = " \t\r\n▁ĠĊ"
"""White space, and how tokenizers write it where a server hands on their raw pieces."""
MARKS = "*_`\"'“”‘’()[]{}<>$#"
"""Quotes and markup that may stand around a label."""
STOPS = ".,:;!"
VERDICT = re.compile(r"verdict:", re.IGNORECASE)
_LAYERS = (
    *(("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’")),
    *(("[[", "]]"), ("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("$", "$"), ("\\(", "\\)"), ("", ")"), ("", "")),
)
"""What may stand around a label that is the whole reply, once."""
_KEYS = {"verdict", "answer", "choice", "winner", "preference", "label", "better", "best", "decision", "judgement"}
"""Names of a JSON object's field that holds the label."""
_MARKED_LINE = re.compile(r"(?:final\s+)?(?:verdict|answer)\s*:", re.IGNORECASE)
"""How a last line begins that gives the verdict after an explanation."""
_THING = r"(?:answer|response|reply|option|choice|candidate|assistant|output|text)"
_BEFORE = r"(?:(?:so|thus|therefore|overall|i\s+think|i\s+believe|in\s+my\s+opinion),?\s+)*(?:(?:my|the)\s+)?"
_IS = r"(?:\s*[:=]|\s+is\s*:?|\s+would\s+be)\s*"
_BETTER = (
    r"\s+(?:is|was|seems|looks)(?:\s+(?:clearly|slightly|much|far|definitely|overall|the))*"
    rf"\s+(?:better|best|superior|preferred|preferable|winner)(?:\s+(?:{_THING}|one|overall))?"
)


class Unread(StrEnum):
    """Why a reply is an abstention."""

    EMPTY = "say nothing"
    THINKING = "do not come to the end of their thinking"
    NO_LABEL = "name no label"
    SEVERAL = "name more than one label"
    UNCLEAR = "do not say plainly that the label in them is the verdict"
    LITTLE_MASS = "give all labels together too little probability (min_mass)"
    NO_PROBABILITY = "come without log-probabilities at the place of their label"


@dataclass(frozen=True, slots=True)
class _Forms:
    """The forms of one set of labels."""

    whole: re.Pattern[str]
    boxed: re.Pattern[str]
    mention: re.Pattern[str]


def named(answer: str, names: Sequence[str], choices: int = 2) -> str | Unread:
    """Return the label that an answer names, or why it names none. The first `choices` names can be the better one.

    The whole answer has to be a label, a sentence or a field that gives one (`B`, `Answer: B`, `B is better`,
    `{"verdict": "B"}`, a boxed B), or its last line is such a `Verdict:` or `Answer:`. Capitals do not matter.
    """
    answer = answer.strip()
    if not answer:
        return Unread.EMPTY
    names = tuple(names)
    forms = _forms(names, choices)
    plain = forms.boxed.sub(lambda match: match["label"], answer)
    found = label_of(plain, names) or _sentence(plain, names, forms) or _field(answer, names)
    if found is not None:
        return found
    lines = plain.splitlines()
    marked = [line for line in lines if _MARKED_LINE.match(_one_line(line))]
    if not marked or marked[-1] != lines[-1]:
        return _why(plain, names)
    said = {label for line in marked if (label := _sentence(line, names, forms)) is not None}
    return Unread.SEVERAL if len(said) > 1 else _sentence(lines[-1], names, forms) or _why(lines[-1], names)


def label_of(text: str, names: Sequence[str]) -> str | None:
    """Return the label that a text is, but for white space, one layer around it and a stop at the end of either."""
    text = text.strip()
    for whole in (text, text[:-1] if text[-1:] in STOPS else text):
        for before, after in _LAYERS:
            if whole.startswith(before) and whole.endswith(after):
                inner = whole[len(before) : len(whole) - len(after)].strip()
                for name in (inner, inner[:-1] if before and inner[-1:] in STOPS else inner):
                    if (found := same_label(name, names)) is not None:
                        return found
    return None


def same_label(text: str, names: Sequence[str]) -> str | None:
    """Return the label that a text is, whatever its capitals, unless labels differ by their capitals alone."""
    if text in names:
        return text
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(names) or text.casefold() not in folded:
        return None
    return names[folded.index(text.casefold())]


def begins_with(answer: str, label: str, names: Sequence[str]) -> bool:
    """Say whether an answer begins with a label that stands for itself, and names no other one after it.

    Judges that were asked for a letter often go on: `B`, an empty line, and the beginning of an explanation. A letter
    that begins a sentence (`A careful comparison ...`) does not stand for itself.
    """
    rest = answer.lstrip(SPACE + MARKS)
    if rest[: len(label)].casefold() != label.casefold():
        return False
    rest = rest[len(label) :].lstrip(MARKS)
    if rest and rest[0] not in STOPS + "\n":
        return False
    return mentioned(rest, names) <= {label}


def mentioned(text: str, names: Sequence[str]) -> set[str]:
    """Return the labels that stand in a text as words of their own. A single letter counts as it is written: the
    word `a` is everywhere."""
    found = {match[0] for match in _forms(tuple(names), len(names)).mention.finditer(text)}
    return {name for word in found if (name := same_label(word, names)) is not None}


def _why(text: str, names: Sequence[str]) -> Unread:
    match len(mentioned(text, names)):
        case 0:
            return Unread.NO_LABEL
        case 1:
            return Unread.UNCLEAR
        case _:
            return Unread.SEVERAL


def _sentence(text: str, names: Sequence[str], forms: _Forms) -> str | None:
    match = forms.whole.fullmatch(_one_line(text))
    return None if match is None else same_label(next(filter(None, match.groups())), names)


def _one_line(text: str) -> str:
    """Leave out marks of bold type, code and formulas, and make all white space one space."""
    return " ".join(re.sub(r"[*`$]|^#+\s", "", text).split())


def _field(answer: str, names: Sequence[str]) -> str | None:
    """Return the label that a JSON object holds in a field such as `verdict`; None where such fields disagree."""
    if answer.startswith("```") and answer.endswith("```"):
        answer = answer[3:-3].removeprefix("json")
    try:
        found: object = json.loads(answer, object_pairs_hook=tuple)  # JSON has no tuples: this one is an object
    except (ValueError, RecursionError):
        return None
    pairs = cast("tuple[tuple[str, object], ...]", found) if isinstance(found, tuple) else ()
    values = [value for name, value in pairs if name.strip().lower() in _KEYS]
    labels = {label_of(value, names) if isinstance(value, str) else None for value in values}
    return labels.pop() if len(labels) == 1 else None


@functools.lru_cache(maxsize=64)
def _forms(names: tuple[str, ...], choices: int) -> _Forms:
    every, better = _any(names), _any(names[:choices])
    box = r"\\boxed\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\{\s*)?"
    before, after = r"[\"'“‘(\[{<]{0,2}", r"[\"'”’)\]}>]{0,2}"
    subject = rf"(?:{_THING}\s+)?{before}"
    sentences = (
        rf"{_BEFORE}(?:final\s+)?(?:verdict|answer|choice|decision|judge?ment|winner|preference|"
        rf"(?:better|best|preferred|winning)\s+(?:{_THING}|one)){_IS}{subject}({every}){after}",
        rf"{_BEFORE}{_THING}\s+{before}({every}){after}",
        rf"{_BEFORE}{subject}({better}){after}(?:{_BETTER}|\s+wins)",
        rf"i(?:\s+would|['’]d)?\s+(?:choose|pick|prefer|select|go\s+with)\s+(?:the\s+)?{subject}({better}){after}",
    )
    return _Forms(
        whole=re.compile(rf"(?:{'|'.join(sentences)})\s*[.!]*", re.IGNORECASE),
        boxed=re.compile(rf"{box}(?P<label>{every})\s*\}}{{1,2}}", re.IGNORECASE),
        mention=re.compile(rf"(?<!\w)(?:{'|'.join(_as_word(name) for name in names)})(?!\w)"),
    )


def _any(names: Sequence[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def _as_word(name: str) -> str:
    return re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})"
