"""`\\boxed{...}`: where models that write LaTeX put their answer. Pure, in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The pieces: a brace that opens a box (`\boxed{`, `\fbox{`; group 1 is then filled) or any other group; a brace that is
# printed (`\{1, 2\}` is a set), which opens and closes nothing; a closing brace.
_BRACE = re.compile(r"(\\f?boxed\s{0,3}|\\fbox\s{0,3})?\{|\\[{}]|\}")
# The last character that is looked at keeps longer commands out: `\pitchfork` is not pi.
_IRRATIONAL = re.compile(r"\\sqrt|√|\\pi(?![a-z])|π")
_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What stands in a box; `irrational`: it holds a root or pi, so that its digits are not its value."""

    content: str
    irrational: bool


def last_box(text: str) -> Box | None:
    """Return the last box with a digit in it, None where there is none; of nested boxes the innermost counts."""
    opened: list[int | None] = []  # where the content of each open brace begins, None for a brace that is no box
    content, inner_end = None, -1
    for found in _BRACE.finditer(text):
        if found[0] == "}":
            # A text may close more braces than it opened, as `5 } \boxed{9}` does.
            start = opened.pop() if opened else None
            # A box that began before the last found one ended is around that one (`\boxed{\boxed{9}}`). A box without a
            # digit, such as `\boxed{\text{none}}`, is no answer.
            if start is not None and start > inner_end and _DIGIT.search(text, start, found.start()):
                content, inner_end = text[start : found.start()], found.start()
        elif not found[0].startswith(("\\{", "\\}")):
            opened.append(found.end() if found[1] else None)
    return None if content is None else Box(content=content, irrational=_IRRATIONAL.search(content) is not None)
