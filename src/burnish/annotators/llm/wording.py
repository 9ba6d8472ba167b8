"""Finds the label that a reply names in words. A reply counts only if it has one of a few forms that name exactly one
label."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

SPACE = " \t\r\n▁ĠĊ"
"""White space, and the signs with which tokenizers write it. Some servers return the tokenizer's pieces unchanged."""
MARKS = "*_`\"'“”‘’()[]{}<>$#"
"""Quotes and markup that may be around a label."""
STOPS = ".,:;!"
VERDICT = re.compile(r"verdict:", re.IGNORECASE)
_LAYERS = (
    *(("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’")),
    *(("[[", "]]"), ("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("$", "$"), ("\\(", "\\)"), ("", ")"), ("", "")),
)
"""The signs that may be around a label if the label is the whole reply. One pair of them is allowed."""
_KEYS = {"verdict", "answer", "choice", "winner", "preference", "label", "better", "best", "decision", "judgement"}
"""The names of fields of a JSON object that can hold the label."""
_MARKED_LINE = re.compile(r"(?:final\s+)?(?:verdict|answer)\s*:", re.IGNORECASE)
"""The beginning of a last line that gives the verdict after an explanation."""
# The pieces of sentences below: words for an answer, words that may come before a sentence, and ways to say "is".
_THING = r"(?:answer|response|reply|option|choice|candidate|assistant|output|text)"
_BEFORE = r"(?:(?:so|thus|therefore|overall|i\s+think|i\s+believe|in\s+my\s+opinion),?\s+)*(?:(?:my|the)\s+)?"
_IS = r"(?:\s*[:=]|\s+is\s*:?|\s+would\s+be)\s*"
# Examples are " is clearly better" and " seems the best response".
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
    """The patterns for one set of labels: a whole sentence that gives a label, a boxed label, and any mention of
    one."""

    whole: re.Pattern[str]
    boxed: re.Pattern[str]
    mention: re.Pattern[str]


def named(answer: str, names: Sequence[str], choices: int = 2) -> str | Unread:
    """Return the label that an answer names, or why it names none.

    The first `choices` names are the labels of answers. Only they can be "better". The whole answer must be a label, or
    a sentence or field that gives one (`B`, `Answer: B`, `B is better`, `{"verdict": "B"}`, a boxed B). Or its last
    line must begin with `Verdict:` or `Answer:` and give a label. Capitals do not matter.
    """
    answer = answer.strip()
    if not answer:
        return Unread.EMPTY
    names = tuple(names)
    forms = _forms(names, choices)
    plain = forms.boxed.sub(lambda match: match["label"], answer)
    label = label_of(plain, names) or _sentence(plain, names, forms) or _field(answer, names)
    if label is not None:
        return label
    # An explanation may come first. Then the last line has to give the verdict.
    lines = plain.splitlines()
    # All such lines are read, because `Verdict: A` above `Verdict: B` is a contradiction.
    marked = [line for line in lines if _MARKED_LINE.match(_one_line(line))]
    if not marked or marked[-1] != lines[-1]:
        return _why(plain, names)
    labels = {given for line in marked if (given := _sentence(line, names, forms)) is not None}
    return Unread.SEVERAL if len(labels) > 1 else _sentence(lines[-1], names, forms) or _why(lines[-1], names)


def label_of(text: str, names: Sequence[str]) -> str | None:
    """Return the label if the text is a label, else None.

    The text may have white space around it, one pair of signs around the label, and a stop at the end, inside or
    outside of the signs.
    """
    text = text.strip()
    # A stop may be outside the signs (`**B**.`) or inside of them (`**B.**`), so both places are tried.
    for whole in (text, text[:-1] if text[-1:] in STOPS else text):
        for before, after in _LAYERS:
            if whole.startswith(before) and whole.endswith(after):
                inner = whole[len(before) : len(whole) - len(after)].strip()
                for name in (inner, inner[:-1] if before and inner[-1:] in STOPS else inner):
                    if (label := same_label(name, names)) is not None:
                        return label
    return None


def same_label(text: str, names: Sequence[str]) -> str | None:
    """Return the label if the text is one, else None. Capitals matter only if labels differ only in their capitals."""
    if text in names:
        return text
    # The labels may be `a` and `A`. Then only the exact text counts.
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(names) or text.casefold() not in folded:
        return None
    return names[folded.index(text.casefold())]


def begins_with(answer: str, label: str, names: Sequence[str]) -> bool:
    """Say whether an answer begins with a label that stands alone, and names no other label after it.

    Judges that were asked for a letter often go on: `B`, an empty line, and the beginning of an explanation. A letter
    that begins a sentence (`A careful comparison ...`) does not stand alone.
    """
    rest = answer.lstrip(SPACE + MARKS)
    if rest[: len(label)].casefold() != label.casefold():
        return False
    rest = rest[len(label) :].lstrip(MARKS)
    # After a label that stands alone comes a stop or a new line. `A careful comparison` goes on with a space.
    if rest and rest[0] not in STOPS + "\n":
        return False
    return mentioned(rest, names) <= {label}


def mentioned(text: str, names: Sequence[str]) -> set[str]:
    """Return the labels that are words of their own in a text. A single letter must have the same capitals, because the
    word `a` is in nearly every text."""
    words = {match[0] for match in _forms(tuple(names), len(names)).mention.finditer(text)}
    return {name for word in words if (name := same_label(word, names)) is not None}


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
    """Remove the marks of bold type, code, formulas and headings, and turn all white space into single spaces."""
    return " ".join(re.sub(r"[*`$]|^#+\s", "", text).split())


def _field(answer: str, names: Sequence[str]) -> str | None:
    """Return the label that a JSON object holds in a field such as `verdict`. Return None if there is none, or if such
    fields disagree."""
    # Many models put JSON into a block of code, with or without the word `json`.
    if answer.startswith("```") and answer.endswith("```"):
        answer = answer[3:-3].removeprefix("json")
    try:
        # Objects are read as tuples of pairs, because a dict would hide a field that is there twice. JSON itself has no
        # tuples, so that a tuple is always an object.
        parsed: object = json.loads(answer, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    pairs = cast("tuple[tuple[str, object], ...]", parsed) if isinstance(parsed, tuple) else ()
    values = [value for name, value in pairs if name.strip().lower() in _KEYS]
    labels = {label_of(value, names) if isinstance(value, str) else None for value in values}
    # A field without a label gives None. If another field has a label, that is also a contradiction.
    return labels.pop() if len(labels) == 1 else None


# A run has one or two sets of labels, but thousands of replies. So the patterns are compiled once.
@functools.lru_cache(maxsize=64)
def _forms(names: tuple[str, ...], choices: int) -> _Forms:
    every, better = _any(names), _any(names[:choices])
    # `\boxed{B}`, and `\boxed{\text{B}}` with one of LaTeX's commands for text inside.
    box = r"\\boxed\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\{\s*)?"
    before, after = r"[\"'“‘(\[{<]{0,2}", r"[\"'”’)\]}>]{0,2}"
    subject = rf"(?:{_THING}\s+)?{before}"
    sentences = (
        # "The final verdict is B", "Answer: B", "The better response would be B"
        rf"{_BEFORE}(?:final\s+)?(?:verdict|answer|choice|decision|judge?ment|winner|preference|"
        rf"(?:better|best|preferred|winning)\s+(?:{_THING}|one)){_IS}{subject}({every}){after}",
        # "Response B"
        rf"{_BEFORE}{_THING}\s+{before}({every}){after}",
        # "B is better", "Response B wins"
        rf"{_BEFORE}{subject}({better}){after}(?:{_BETTER}|\s+wins)",
        # "I would choose B", "I prefer response B"
        rf"i(?:\s+would|['’]d)?\s+(?:choose|pick|prefer|select|go\s+with)\s+(?:the\s+)?{subject}({better}){after}",
    )
    return _Forms(
        # This is one pattern for all sentences. It must match the whole text, so that `B is better than A` or `B is not
        # better` name no label.
        whole=re.compile(rf"(?:{'|'.join(sentences)})\s*[.!]*", re.IGNORECASE),
        boxed=re.compile(rf"{box}(?P<label>{every})\s*\}}{{1,2}}", re.IGNORECASE),
        # The label is a separate word, without a letter, digit or underscore before or after it.
        mention=re.compile(rf"(?<!\w)(?:{'|'.join(_as_word(name) for name in names)})(?!\w)"),
    )


def _any(names: Sequence[str]) -> str:
    # The longest names come first, so that a label that begins with another label is matched as a whole.
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def _as_word(name: str) -> str:
    return re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})"
