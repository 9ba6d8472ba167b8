"""Where the answer begins in a text that begins with thinking. Judges' replies, queries and numbers all use this.

A model that thinks writes `<think> ... </think>` and then its answer. The chat template may hold the `<think>`, so
that the text has only the end. Some models write `<thinking>`, `<thought>`, `<reasoning>` or `[THINK]` instead.
"""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|reasoning"
_BEGIN = re.compile(rf"<(?:{_NAMES})>|\[THINK\]", re.IGNORECASE)
_END = re.compile(rf"</(?:{_NAMES})>|\[/THINK\]", re.IGNORECASE)


def answer_start(text: str) -> int | None:
    """Return the place after the last end of thinking: 0 where there is none, None where thinking has no end."""
    start = max((found.end() for found in _END.finditer(text)), default=0)
    return None if _BEGIN.search(text, start) else start


def without_thinking(text: str) -> str | None:
    """Return the answer that follows the thinking, None where the thinking has no end and so no answer follows."""
    start = answer_start(text)
    return None if start is None else text[start:]
