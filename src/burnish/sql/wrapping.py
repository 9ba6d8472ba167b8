"""Removes what models put around a query: end tokens, tags like `<sql>`, JSON objects like `{"sql": ...}`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_TAIL = 200
"""Number of characters at the end of a text in which end tokens are searched."""
# `</s>` (Llama), `<eos>` and `<end_of_turn>` (Gemma), `<|im_end|>` (ChatML), and DeepSeek's form with full-width bars.
_END_TOKENS = re.compile(r"(?:\s*(?:</s>|<eos>|<end_of_turn>|<[|｜][\w▁]{1,40}[|｜]>))+\s*\Z")
_TAG = re.compile(r"<(sql|query|answer|final_answer)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_KEYS = ("sql", "sql_query", "query", "answer")
_OBJECT = re.compile(r"\{\s*\"\w{1,40}\"\s*:")
_MOST_OBJECTS = 20


def without_end_tokens(text: str) -> str:
    """Return a text without the tokens at its end that end a turn, such as `</s>`."""
    # Only the end is searched, because the time of the pattern grows with the square of the length. A text of 5,000
    # such tokens with a letter after them takes a second.
    cut = max(0, len(text) - _TAIL)
    return text[:cut] + _END_TOKENS.sub("", text[cut:])


def wrapped(text: str) -> Iterator[str]:
    """Yield the contents of tags, then those of JSON objects, each time from the last one to the first."""
    yield from (found[2] for found in reversed(list(_TAG.finditer(text))))
    yield from reversed(list(_in_objects(text)))


def _in_objects(text: str) -> Iterator[str]:
    decoder = json.JSONDecoder(strict=False)  # models write a line break inside a string without escaping it
    end = 0
    for count, found in enumerate(_OBJECT.finditer(text)):
        if count == _MOST_OBJECTS:
            return
        # This object is inside the one that was read last.
        if found.start() < end:
            continue
        try:
            value, end = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        # Models also write `{"SQL": ...}`.
        by_name = {str(name).lower(): inner for name, inner in value.items()}
        yield from (by_name[key] for key in _KEYS if isinstance(by_name.get(key), str))
