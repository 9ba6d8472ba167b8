"""Replies of judges that give no verdict: texts, log-probabilities and bodies. Each is made to name something.

The labels are A, B and, for a tie, C. A reply of `NOTHING` names none of them as its verdict, one of `SEVERAL` names
more than one: neither may become a verdict. One of `ONE` names one plainly, and may be read as this one or not at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from bad_values import TEXTS, dumps, mangled, value


class Names(StrEnum):
    """What a reply names."""

    NOTHING = "nothing"
    SEVERAL = "several labels"
    ONE = "one label"


@dataclass(frozen=True, slots=True)
class Said:
    """A reply, and what it names; `label` where it is one."""

    names: Names
    text: str
    label: str = ""


PROSE = (
    *("I cannot judge this.", "Both answers are equally good.", "As a language model I have no opinion.", "Neither."),
    *("A careful comparison shows no difference.", "A fair question.", "The first is better.", "none", "N/A", "42"),
    *("D", "E", "AB", "Answer: D", "Verdict:", "Verdict: none", "Answer: both", "The answer is unclear", "?", "Apple"),
    *("{}", "[]", '{"verdict": null}', '{"verdict": "D"}', '{"verdict": 1}', '{"reason": "A long one"}', "\\boxed{}"),
    *("<think>I lean towards B", "<think>A", "Sorry, I can't help with that.", "Because of that, I abstain.", "BB"),
)
TWO = (
    *("{x} or {y}", "{x} and {y}", "Not {x}, but {y}", "{x}/{y}", "{x} {y}", "{x}\n{y}", "{x}, {y}", "{x}? No: {y}"),
    *("Answer: {x} or {y}", "Verdict: {x} and {y}", "Verdict: {x}\nVerdict: {y}", "Answer: {x}. Answer: {y}."),
    *('{{"verdict": "{x}", "answer": "{y}"}}', '{{"verdict": ["{x}", "{y}"]}}', "\\boxed{{{x}}} \\boxed{{{y}}}"),
    *(
        '{{"verdict": "{x}", "verdict": "{y}"}}',
        "Between {x} and {y} I cannot choose",
        "{x} is better than {y} at times",
    ),
    *(
        "Answer {x} is good, answer {y} is good",
        "[{x}][{y}]",
        "**{x}** **{y}**",
        "first {x} then {y}",
        "{x} > {y} > {x}",
    ),
)
ONCE = ("{x}", " {x}", "{x}.", "**{x}**", '"{x}"', "({x})", "Verdict: {x}", "\n{x}\n", "[[{x}]]", "Answer: {x}")
PIECES = tuple(one for one in TEXTS if not set(one) & set("ABCabc") and "think" not in one and "boxed" not in one)


def said(random: Random) -> Said:
    """Return a reply as text."""
    x, y = random.sample("ABC", 2)
    match random.randrange(10):
        case 0 | 1 | 2:
            return Said(Names.NOTHING, random.choice(PROSE))
        case 3 | 4:
            return Said(Names.NOTHING, "".join(random.choice(PIECES)[:200] for _ in range(random.randrange(1, 5))))
        case 5 | 6 | 7:
            return Said(Names.SEVERAL, random.choice(TWO).format(x=x, y=y))
        case 8:
            tail = random.choice(["", "\n", " \n\n"])
            return Said(Names.SEVERAL, random.choice(PROSE[:5]) + f" {x} has merits, and {y} has merits." + tail)
        case _:
            return Said(Names.ONE, random.choice(ONCE).format(x=x), x)


def tokens(random: Random, reply: Said) -> list[dict[str, Any]]:
    """Return the tokens of a reply with log-probabilities, in the form of an OpenAI-compatible server.

    A reply that names no label keeps its tokens, and labels have next to no mass in its places.
    """
    words = [word for word in _pieces(reply.text) if word] or [""]
    found: list[dict[str, Any]] = []
    for word in words[:12]:
        own = random.uniform(0.6, 0.99)
        top = [{"token": word, "logprob": math.log(own)}]
        if reply.names is not Names.ONE:
            top += [
                {"token": label, "logprob": math.log(random.uniform(1e-9, 1e-4))} for label in "ABC" if label != word
            ]
        top.append({"token": " the", "logprob": math.log(1 - own + 1e-9)})
        random.shuffle(top)
        found.append({"token": word, "logprob": math.log(own), "top_logprobs": top[: random.choice([2, 5, 20])]})
    return found


def _pieces(text: str) -> list[str]:
    """Cut a text as tokenizers do: a space goes to the word behind it."""
    pieces, word = list[str](), ""
    for character in text[:400]:
        if word and (character == " " or character in '."\n*()[]{}:,/' or (not word[-1].isalnum() and word[-1] != " ")):
            pieces.append(word)
            word = ""
        word += character
    return [*pieces, word]


def body(random: Random, reply: Said) -> bytes:
    """Return a response's body, sound or not."""
    content: Any = reply.text
    match random.randrange(4):
        case 0:
            content = [{"type": "text", "text": reply.text}]
        case 1:
            content = random.choice([None, value(random), [], [1], {"text": reply.text}, {"A": "B"}])
            content = None if isinstance(content, str) and set(content) & set("ABCabc") else content
        case _:
            pass
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    if random.random() < 0.5:
        choice["logprobs"] = {"content": tokens(random, reply)} if content == reply.text else value(random)
    whole: dict[str, Any] = {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    match random.randrange(6):
        case 0:
            whole[random.choice(list(whole))] = value(random)
        case 1:
            choice[random.choice(list(choice))] = value(random)
        case 2:
            whole.pop(random.choice(list(whole)))
        case _:
            pass
    data = dumps(whole).encode()
    match random.randrange(6):
        case 0:
            return mangled(data, random)
        case 1:
            return b"data: " + data + b"\n\ndata: [DONE]\n\n"
        case _:
            return data
