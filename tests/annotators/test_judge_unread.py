"""Answers that came and cannot be read: they are charged, kept where they were counted, and not asked for long."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from servers import FaultServer, Reaction, Refuse, Sitting, pairs

from burnish.annotators.llm.caller import ASKED_AGAIN
from burnish.annotators.llm.replies import reply_of, usage_of
from burnish.config import Prices
from burnish.errors import AnnotatorError, Paused
from burnish.services import endpoint
from burnish.services.calls import CallBudget, Calls
from burnish.types import Verdict

pytest.importorskip("openai")

USAGE = {"prompt_tokens": 100, "completion_tokens": 2}
WHOLE = json.dumps({"usage": USAGE, "choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]})
STREAM = (
    'data: {"choices": [{"delta": {"content": "A"}}]}\n\n'
    f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\ndata: [DONE]\n"
)
COUNTED = {
    "no choices": json.dumps({"choices": [], "usage": USAGE}),
    "cut off": WHOLE[:-12],
    "a stream": STREAM,
    "a number": json.dumps({"choices": [{"message": {"content": 5}, "finish_reason": "stop"}], "usage": USAGE}),
}
UNCOUNTED = {"no choices": '{"choices": []}', "html": "<html>Welcome</html>", "cut off": WHOLE[60:-12], "empty": ""}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def sending(body: str, about: str = "") -> Refuse:
    def refuse(request: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        return (200, body) if about in request["messages"][0]["content"] else None

    return refuse


@pytest.mark.parametrize("body", [*COUNTED.values(), *UNCOUNTED.values()])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_budget_of_calls_holds_for_answers_that_cannot_be_read(body: str, concurrency: int, tmp_path: Path) -> None:
    with FaultServer(refuse=sending(body)) as running:
        sitting = Sitting(running.address, tmp_path, CallBudget(max_calls=2), concurrency=concurrency, retries=5)
        with pytest.raises(
            Paused, match=r"^2 calls are spent, 2 of them with answers that cannot be read \(--max-calls 2\)"
        ):
            sitting.go(pairs(8))
        assert sum(running.asked.values()) == 2


@pytest.mark.parametrize("name", COUNTED)
def test_what_a_server_counts_is_charged_and_not_asked_for_again(name: str, tmp_path: Path) -> None:
    with FaultServer(refuse=sending(COUNTED[name], "Question 0\n")) as running:
        sitting = Sitting(running.address, tmp_path)
        first, second = (one.go(pairs(3)) for one in (Sitting(running.address, tmp_path), sitting))
        assert [p.verdict for p in first.values()].count(Verdict.ABSTAIN) == 1
        assert first == second
        tries = 1 + ASKED_AGAIN
        assert sum(running.asked.values()) == 4 + 2 * tries  # the second sitting asks nothing
        spent = sitting.judge.spent()
        assert (spent.calls, spent.unread, spent.failed, spent.cached) == (4, 2 * tries, 2, 6)
        assert (spent.prompt_tokens, spent.completion_tokens) == (400 + 200 * tries, 8 + 4 * tries)
    assert sitting.said[-1] == "annotator: 2 replies count as abstentions: 2 say nothing"


def test_what_nobody_counted_is_asked_again_by_the_next_sitting(tmp_path: Path) -> None:
    with FaultServer(refuse=sending("<html>Welcome</html>", "Question 0\n")) as running:
        sitting = Sitting(running.address, tmp_path)
        sitting.go(pairs(3))
        assert sum(running.asked.values()) == 4 + 2 * 3
        assert "no chat completion came back: '<html>Welcome</html>'" in sitting.said[-1]
        running.refuse = lambda body, headers: None
        found = Sitting(running.address, tmp_path).go(pairs(3))
        assert Verdict.ABSTAIN not in {preference.verdict for preference in found.values()}
        assert sum(running.asked.values()) == 4 + 2 * 3 + 2


def test_an_answer_that_can_be_read_at_the_second_try_counts(tmp_path: Path) -> None:
    seen: set[str] = set()

    def first(request: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        prompt = request["messages"][0]["content"]
        if prompt in seen:
            return None
        seen.add(prompt)
        return 200, COUNTED["no choices"]

    with FaultServer(refuse=first) as running:
        sitting = Sitting(running.address, tmp_path)
        assert Verdict.ABSTAIN not in {preference.verdict for preference in sitting.go(pairs(3)).values()}
    spent = sitting.judge.spent()
    assert (spent.calls, spent.unread, spent.failed) == (6, 6, 0)


def test_a_limit_on_money_holds_where_nothing_was_counted(tmp_path: Path) -> None:
    prices = Prices(input_per_million=10_000, output_per_million=0)
    with FaultServer(refuse=sending("<html>Welcome</html>")) as running:
        sitting = Sitting(running.address, tmp_path, CallBudget(max_cost=10), prices=prices, concurrency=1)
        with pytest.raises(Paused, match=r"USD are spent and the next call may cost"):
            sitting.go(pairs(8))
        cost = sitting.judge.spent().cost
        assert cost is not None
        assert 5 < cost <= 10  # two bytes of the prompt are taken to be a token


def test_a_server_that_only_sends_what_cannot_be_read_stops(tmp_path: Path) -> None:
    with FaultServer(refuse=sending("<html>Welcome</html>")) as running:
        with pytest.raises(AnnotatorError, match=r"no chat completion came back: '<html>Welcome</html>'"):
            Sitting(running.address, tmp_path, concurrency=1).go(pairs(50))
        assert sum(running.asked.values()) == 10 * (1 + ASKED_AGAIN)


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "A?"}]}, {"type": "text", "text": "B"}]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (PARTS, "B"),
        ([{"type": "text", "text": "Answer: "}, {"type": "text", "text": "B"}], "Answer: B"),
        ([{"type": "output_text", "text": "B"}], "B"),
        (["B"], "B"),
        ([], ""),
        ([{"type": "image_url", "image_url": "A"}, 5, None], ""),
        ([{"type": "text"}], ""),
    ],
)
def test_content_in_parts_is_read(content: object, text: str, tmp_path: Path) -> None:
    body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}], "usage": USAGE})
    reply = reply_of(body, explained=False)
    assert reply is not None
    assert reply.text == text
    with FaultServer(refuse=sending(body)) as running:
        sitting = Sitting(running.address, tmp_path)
        (preference,) = sitting.go(pairs(1)).values()
        assert preference.raw == ((1.0, 1.0) if "B" in text else ())
        assert sitting.judge.spent().calls == 2


def test_an_empty_reply_without_log_probabilities_stops_nobody(tmp_path: Path) -> None:
    body = json.dumps({"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}], "usage": USAGE})
    with FaultServer(refuse=sending(body, "Question 0\n")) as running:
        found = Sitting(running.address, tmp_path, read="logprobs").go(pairs(3))
    assert [preference.verdict for preference in found.values()].count(Verdict.ABSTAIN) == 1


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        *((body, (100, 2)) for body in COUNTED.values()),
        *((body, None) for body in UNCOUNTED.values()),
        ('{"usage": {"prompt_tokens": 7', (7, 0)),
        ('{"usage": {"prompt_tokens": 1' + "0" * 30, None),
        ('{"message": "\\"prompt_tokens\\": 5"', None),  # words of the answer
    ],
)
def test_the_tokens_of_what_cannot_be_read(text: str, tokens: tuple[int, int] | None) -> None:
    assert usage_of(text) == tokens


def test_tokens_that_no_ledger_can_hold_are_not_counted() -> None:
    usage = {"prompt_tokens": 10**30, "completion_tokens": 2}
    reply = reply_of(json.dumps({"choices": [{"message": {"content": "A"}}], "usage": usage}), explained=False)
    assert reply is not None
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)


def test_a_file_from_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE runs (run TEXT PRIMARY KEY, calls INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL "
            "DEFAULT 0, prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0) "
            "WITHOUT ROWID"
        )
        connection.execute("INSERT INTO runs VALUES ('run', 3, 1, 300, 6)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    for calls in (Calls(path), Calls(path)):
        calls.put_unread("run", (100, 2), None)
    spent = Calls(path).spent("run", None)
    assert (spent.calls, spent.unread, spent.failed, spent.prompt_tokens) == (3, 2, 1, 500)
