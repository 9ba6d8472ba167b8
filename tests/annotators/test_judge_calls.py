"""The cache and ledger of calls, and what is asked."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from servers import judge_config

from burnish.annotators.llm.questions import check_budget, estimate, filled, question_text, request_of
from burnish.config import Prices
from burnish.errors import ConfigError, StageError
from burnish.services.calls import CallBudget, Calls, Position, Reply, Spent, request_key
from burnish.types import Message, Role

PRICES = Prices(input_per_million=2.0, output_per_million=10.0)
POSITIONS = (Position(token="A", top=(("A", -0.25), (" B", -1.5))), Position(token="\n", top=()))
ADDRESS = "http://localhost:1/v1"


def reply(text: str = "A", read: int | None = 100, written: int | None = 2) -> Reply:
    return Reply(text=text, positions=POSITIONS, prompt_tokens=read, completion_tokens=written)


def test_a_reply_comes_back_as_it_was_from_another_object(tmp_path: Path):
    Calls(tmp_path / "deep" / "calls.sqlite").put("key", reply(), "run")
    again = Calls(tmp_path / "deep" / "calls.sqlite")
    assert again.get("key") == reply()
    assert again.get("other") is None


def test_no_log_probabilities_differ_from_none_that_hold_the_verdict(tmp_path: Path):
    calls = Calls(tmp_path / "calls")
    for key, positions in (("none", None), ("empty", ())):
        calls.put(key, Reply(text="", positions=positions, prompt_tokens=None, completion_tokens=None), "run")
    assert [getattr(calls.get(key), "positions", "lost") for key in ("none", "empty")] == [None, ()]


def test_the_ledger_adds_up_by_run(tmp_path: Path):
    calls = Calls(tmp_path / "calls")
    calls.put("1", reply(), "run")
    calls.put("2", reply(read=300, written=None), "run")
    calls.put("3", reply(), "other")
    calls.give_up("run")
    expected = Spent(calls=2, cached=0, failed=1, prompt_tokens=400, completion_tokens=2, cost=None)
    assert Calls(tmp_path / "calls").spent("run", None) == expected
    assert calls.spent("run", PRICES).cost == pytest.approx(0.00082)  # (400 * 2 + 2 * 10) / 1e6
    assert calls.spent("nothing", PRICES).cost == 0.0


def test_an_answer_that_two_processes_paid_for_is_charged_twice_and_the_first_one_stands(tmp_path: Path):
    one, two = Calls(tmp_path / "calls"), Calls(tmp_path / "calls")
    one.put("key", reply("A"), "run")
    two.put("key", reply("B"), "run")
    assert getattr(one.get("key"), "text", "") == "A"
    assert one.spent("run", None).calls == 2


def test_threads_with_one_file_lose_nothing(tmp_path: Path):
    shared = [Calls(tmp_path / "calls"), Calls(tmp_path / "calls")]

    def write(worker: int) -> None:
        for number in range(10):
            shared[worker % 2].put(f"{worker} {number}", reply(), "run")

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared[0].spent("run", None).calls == 40
    assert shared[1].get("3 9") == reply()


def test_a_file_that_is_no_cache_and_a_later_one_are_refused(tmp_path: Path):
    (tmp_path / "text").write_text("not a database" * 100)
    with pytest.raises(StageError, match=r"text: the cache of calls cannot be used \(.*\); free space"):
        Calls(tmp_path / "text")
    later = sqlite3.connect(tmp_path / "later")
    later.execute("PRAGMA user_version = 9")
    later.close()
    with pytest.raises(StageError, match=r"later: written by another version of burnish \(tables 9\)"):
        Calls(tmp_path / "later")


def test_a_closed_file_says_so(tmp_path: Path):
    calls = Calls(tmp_path / "calls")
    calls.close()
    with pytest.raises(StageError, match="the cache of calls cannot be used"):
        calls.put("key", reply(), "run")


def test_every_part_of_a_request_is_part_of_its_key():
    keys = {
        request_key(*parts)
        for parts in (
            ("http://a", {"model": "m"}, 0),
            ("http://b", {"model": "m"}, 0),
            ("http://a", {"model": "n"}, 0),
            ("http://a", {"model": "m", "seed": 1}, 0),
            ("http://a", {"model": "m"}, 1),
        )
    }
    assert len(keys) == 5
    assert request_key("http://a", {"x": 1, "y": 2}, 0) == request_key("http://a", {"y": 2, "x": 1}, 0)


def user(text: str) -> Message:
    return Message(role=Role.USER, content=text)


def test_a_template_is_filled_in_one_pass():
    config = judge_config(ADDRESS, prompt="{criteria}|{question}|{first}|{second}|{A}{B}{tie}|{other}", criteria="{A}!")
    text = filled(config, (user("{first}?"),), "1 {second} {", "} 2 {tie}")
    assert text == "{A}!|{first}?|1 {second} {|} 2 {tie}|AB, or C if both are equally good|{other}"


def test_the_default_prompts_ask_for_what_is_read():
    plain, explained = (filled(judge_config(ADDRESS, explain=e), (user("Q"),), "x", "y") for e in (False, True))
    assert plain.endswith("Reply with one letter and nothing else: A or B, or C if both are equally good.")
    assert explained.endswith('holds only "Verdict:" and one letter: A or B, or C if both are equally good.')
    assert filled(judge_config(ADDRESS, tie=None), (user("Q"),), "x", "y").endswith("nothing else: A or B.")


def test_a_conversation_names_its_speakers():
    assert question_text((user("Hello"),)) == "Hello"
    talk = (Message(role=Role.SYSTEM, content="Be brief."), user("Hello"))
    assert question_text(talk) == "system: Be brief.\n\nuser: Hello"


def test_what_is_sent():
    config = judge_config(ADDRESS, top_logprobs=5, extra={"seed": 1, "max_tokens": None})
    assert request_of(config, "?", 0, logprobs=True).body == {
        "model": "test",
        "messages": [{"role": "user", "content": "?"}],
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 5,
        "seed": 1,
    }
    bodies = [
        request_of(judge_config(ADDRESS, **more), "?", 0, logprobs=False).body for more in ({}, {"explain": True})
    ]
    assert [body["max_tokens"] for body in bodies] == [8, 512]
    assert "logprobs" not in bodies[0]


def test_an_estimate_by_hand():
    config = judge_config(ADDRESS, prompt="{question}{first}{second}", criteria="ok", prices=PRICES)
    expected = estimate(config, comparisons=10, mean_characters=398)
    assert (expected.calls, expected.prompt_tokens, expected.completion_tokens) == (20, 2000, 160)
    assert expected.cost == pytest.approx(0.0056)  # (2000 * 2 + 160 * 10) / 1e6
    assert estimate(judge_config(ADDRESS), 10, 400).cost is None


def test_a_budget_must_make_sense():
    with pytest.raises(ConfigError, match=r"annotator\.prices: not given, and --max-cost 5 needs them; add prices"):
        check_budget(judge_config(ADDRESS), CallBudget(max_cost=5))
    with pytest.raises(ConfigError, match="--max-calls: -1 found"):
        CallBudget(max_calls=-1)
    with pytest.raises(ConfigError, match="--max-cost: nan found"):
        CallBudget(max_cost=float("nan"))


def test_extra_may_not_set_what_the_judge_sets():
    with pytest.raises(ValueError, match="extra: stream cannot be set here; remove it"):
        judge_config(ADDRESS, extra={"stream": True})
