"""Finds `\\boxed{...}`, where models that write LaTeX put their answer. It takes linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The pattern matches a brace that opens a box (`\boxed{` or `\fbox{`, in group 1) or any other group. It also matches a
# printed brace (`\{1, 2\}` is a set), which opens and closes nothing, and a closing brace.
_BRACE = re.compile(r"(\\f?boxed\s{0,3}|\\fbox\s{0,3})?\{|\\[{}]|\}")
# The check of the next letter leaves out longer commands: `\pitchfork` is not pi.
_IRRATIONAL = re.compile(r"\\sqrt|√|\\pi(?![a-z])|π")
_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The content of a box. `irrational` says that it has a root or pi in it, so that its digits are not its value."""

    content: str
    irrational: bool


def last_box(text: str) -> Box | None:
    """Return the last box with a digit in it, or None if there is none. Of nested boxes, the innermost counts."""
    opened: list[int | None] = []  # for each open brace, where its content begins, or None if it is not a box
    content, inner_end = None, -1
    for found in _BRACE.finditer(text):
        if found[0] == "}":
            # A text may close more braces than it opened, for example `5 } \boxed{9}`.
            start = opened.pop() if opened else None
            # If a box began before the end of the box that was found last, it is around that one (`\boxed{\boxed{9}}`).
            # A box without a digit, such as `\boxed{\text{none}}`, is not an answer.
            if start is not None and start > inner_end and _DIGIT.search(text, start, found.start()):
                content, inner_end = text[start : found.start()], found.start()
        elif not found[0].startswith(("\\{", "\\}")):
            opened.append(found.end() if found[1] else None)
    return None if content is None else Box(content=content, irrational=_IRRATIONAL.search(content) is not None)
