"""The judge on a server that fails: what is asked, what is paid, what is counted, and when it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from burnish.annotators import crew, server
from burnish.annotators.calls import Budget, Calls
from burnish.annotators.server_judge import ServerJudge
from burnish.config import Prices
from burnish.errors import AnnotatorError, ConfigError, Paused
from burnish.types import (
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Order,
    Preference,
    Role,
    Verdict,
)
from servers import Fault, FaultServer, Reaction, judge_config

SECRET = "sk-very-secret-0123456789"
PRICES = Prices(input_per_million=10_000, output_per_million=0)  # a call of 100 tokens costs 1
QUICK = tuple(fault for fault in Fault if fault is not Fault.TIMEOUT)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_DELAY", 0.001)


def demonstration(id_: str, text: str) -> Demonstration:
    return Demonstration(example_id=id_, completion=text, source=DemonstrationSource.GIVEN)


def pair(id_: str, a: str, b: str) -> Comparison:
    return Comparison(example_id=id_, a=demonstration(id_, a), b=demonstration(id_, b))


def examples(count: int) -> dict[str, Example]:
    prompts = {str(i): (Message(role=Role.USER, content=f"Question {i}"),) for i in range(count)}
    return {id_: Example(id=id_, group=id_, prompt=prompt) for id_, prompt in prompts.items()}


def pairs(count: int) -> list[Comparison]:
    """Every third one is won by b, every third by a, every third is a tie."""
    sides = [("bad", "good"), ("good", "bad"), ("bad", "worse")]
    return [pair(str(i), *sides[i % 3]) for i in range(count)]


class Sitting:
    """One process' judge, and what it said."""

    def __init__(self, address: str, folder: Path, budget: Budget | None = None, **settings: Any) -> None:
        self.said: list[str] = []
        self.calls = Calls(folder / "calls.sqlite")
        config = judge_config(address, **settings)
        self.judge = ServerJudge(config, examples(1000), self.calls, "run", budget or Budget(), self.said.append)

    def go(self, comparisons: list[Comparison], judge: ServerJudge | None = None) -> dict[str, Preference]:
        units = (judge or self.judge).judge(comparisons, set())
        return {preference.comparison_id: preference for unit in units for preference in unit}


@pytest.fixture
def good() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def test_both_orders_are_asked_and_turned_back(good: FaultServer, tmp_path: Path):
    sitting = Sitting(good.address, tmp_path)
    preferences = list(sitting.go(pairs(3)).values())
    assert sorted(preference.verdict for preference in preferences) == [Verdict.A, Verdict.B, Verdict.TIE]
    b = next(preference for preference in preferences if preference.verdict is Verdict.B)
    assert (b.shown, b.judge) == (tuple(Order), "judge")
    assert b.raw == pytest.approx((0.75, 0.25))
    assert b.p_b == pytest.approx(0.75)
    assert not ServerJudge.order_free
    spent = sitting.judge.spent()
    assert (spent.calls, spent.cached, spent.failed, spent.prompt_tokens, spent.completion_tokens) == (6, 0, 0, 600, 12)


def test_text_is_read_where_the_server_gives_no_log_probabilities(tmp_path: Path):
    with FaultServer(logprobs=False) as running:
        sitting = Sitting(running.address, tmp_path)
        preferences = sitting.go([*pairs(3), pair("7", "odd", "good")])
        assert [sorted(p.raw) for p in preferences.values() if p.verdict is not Verdict.TIE] == [[0, 1], [0, 1], []]
        assert Counter(p.verdict for p in preferences.values()) == Counter(Verdict)
        assert sitting.said == ["annotator: the server gives no log-probabilities; its replies are parsed"]
        with pytest.raises(AnnotatorError, match=r"annotator\.read: logprobs, and .* returns none for 'test'; write"):
            Sitting(running.address, tmp_path, read="logprobs").go(pairs(1))


def test_prose_without_weight_on_a_label_is_an_abstention(good: FaultServer, tmp_path: Path):
    (preference,) = Sitting(good.address, tmp_path).go([pair("0", "odd", "good")]).values()
    assert (preference.verdict, preference.raw) == (Verdict.ABSTAIN, ())


def test_done_comparisons_and_repeats_are_not_asked_and_equal_requests_once(good: FaultServer, tmp_path: Path):
    sitting, comparisons = Sitting(good.address, tmp_path), pairs(3)
    done = {comparisons[0].id}
    units = list(sitting.judge.judge([*comparisons, comparisons[1], pair("9", "same", "same")], done))
    assert sorted(unit[0].comparison_id for unit in units) == sorted(
        [comparison.id for comparison in comparisons[1:]] + [pair("9", "same", "same").id]
    )
    assert sum(good.asked.values()) == 5
    assert sitting.judge.spent().cached == 1


@pytest.mark.parametrize("logprobs", [True, False])
def test_a_fifth_of_all_calls_fails_and_no_answer_is_paid_twice(logprobs: bool, tmp_path: Path):
    comparisons = pairs(60)
    with FaultServer(faults=0.2, seed=3, logprobs=logprobs) as running:
        first = Sitting(running.address, tmp_path, retries=1, timeout=2.0, concurrency=8)
        preferences = first.go(comparisons)
        assert set(running.faulty) == set(Fault)
        lost = {key for key in running.asked if not running.answered[key]}
        assert first.judge.spent().failed == len(lost) > 0
        abstained = [p for p in preferences.values() if p.verdict is Verdict.ABSTAIN]
        assert 0 < len(abstained) <= len(lost)
        assert sum(2 - len(p.raw) for p in abstained) == len(lost)
        assert first.judge.spent().calls == sum(running.answered.values()) == 120 - len(lost)
        assert len(preferences) == 60

        second = Sitting(running.address, tmp_path, retries=5, timeout=2.0, concurrency=8)
        again = second.go(comparisons)
        assert {p.verdict for p in again.values()} == {Verdict.A, Verdict.B, Verdict.TIE}
        assert set(running.answered.values()) == {1}
        assert (second.judge.spent().calls, second.judge.spent().cached) == (120, 120 - len(lost))


def test_who_breaks_off_in_the_middle_pays_for_nothing_twice(good: FaultServer, tmp_path: Path):
    units = Sitting(good.address, tmp_path).judge.judge(pairs(30), set())
    for _ in range(4):
        next(units)
    units.close()  # pyright: ignore[reportAttributeAccessIssue] a generator
    early = sum(good.answered.values())
    assert 8 <= early < 60
    assert len(Sitting(good.address, tmp_path).go(pairs(30))) == 30
    assert set(good.answered.values()) == {1}
    assert len(good.answered) == 60


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_judge import Sitting, pairs
for unit in Sitting(sys.argv[1], Path(sys.argv[2]), concurrency=2).judge.judge(pairs(40), set()):
    print("judged", flush=True)
"""


def test_a_killed_process_loses_the_calls_under_way_at_most(tmp_path: Path):
    enough, seen = threading.Event(), Counter[str]()

    def slow_after_ten(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        seen["asked"] += 1
        if seen["asked"] > 10 and not enough.is_set():
            enough.wait(30)
        return None

    with FaultServer(refuse=slow_after_ten) as running:
        command = [sys.executable, "-c", KILLED, running.address, str(tmp_path), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"judged\n"
            while seen["asked"] < 12:
                enough.wait(0.01)
            os.kill(process.pid, signal.SIGKILL)
        enough.set()
        assert len(Sitting(running.address, tmp_path).go(pairs(40))) == 40
        twice = [key for key, times in running.answered.items() if times > 1]
        assert len(twice) <= 2  # two were under way
        assert len(running.answered) == 80


def test_an_interrupt_waits_for_no_timeout(good: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "GRACE", 0.1)
    never = threading.Event()
    work = crew.Crew[int, None](2, lambda job, pause: None if never.wait(30) else None)
    for job in range(5):
        work.submit(job)
    work.close()
    waiting = crew.Crew[int, bool](1, lambda job, pause: pause(30))
    waiting.submit(1)
    waiting.close()
    assert waiting.result() == (1, True)  # woken, not waited for
    never.set()


def test_what_a_thread_raises_is_raised(tmp_path: Path):
    def fails(job: int, pause: Callable[[float], bool]) -> int:
        raise OSError("disk")

    work = crew.Crew[int, int](1, fails)
    work.submit(1)
    with pytest.raises(OSError, match="disk"):
        work.result()
    work.close()


def test_max_calls_is_never_exceeded_and_can_be_raised(good: FaultServer, tmp_path: Path):
    got: dict[str, Preference] = {}

    def sit(budget: Budget) -> None:
        for unit in Sitting(good.address, tmp_path, budget, concurrency=8).judge.judge(pairs(20), got.keys()):
            got.update({preference.comparison_id: preference for preference in unit})

    with pytest.raises(Paused, match=r"^13 calls are spent \(--max-calls 13\); raise --max-calls to go on$"):
        sit(Budget(max_calls=13))
    assert sum(good.answered.values()) == 13
    assert len(got) == 6
    with pytest.raises(Paused):
        sit(Budget(max_calls=13))
    assert sum(good.answered.values()) == 13
    sit(Budget(max_calls=40))
    assert len(got) == 20
    assert set(good.answered.values()) == {1}
    assert sum(good.answered.values()) == 40


def test_a_failed_call_gives_its_place_in_the_budget_back(tmp_path: Path):
    with FaultServer(faults=0.5, kinds=QUICK, seed=1) as running:
        sitting = Sitting(running.address, tmp_path, Budget(max_calls=20), retries=0, concurrency=4)
        with pytest.raises(Paused, match="20 calls are spent"):
            sitting.go(pairs(40))
        assert sitting.judge.spent().failed > 0
        assert sum(running.answered.values()) == sitting.judge.spent().calls == 20


def test_what_is_cached_comes_although_the_budget_is_spent(good: FaultServer, tmp_path: Path):
    comparisons = pairs(10)
    Sitting(good.address, tmp_path).go(comparisons[5:])
    poor = Sitting(good.address, tmp_path, Budget(max_calls=10))
    got: list[str] = []
    with pytest.raises(Paused):
        for unit in poor.judge.judge(comparisons, set()):
            got.append(unit[0].comparison_id)
    assert got == [comparison.id for comparison in comparisons[5:]]


def test_max_cost_is_kept_with_calls_side_by_side(good: FaultServer, tmp_path: Path):
    sitting = Sitting(good.address, tmp_path, Budget(max_cost=10.5), prices=PRICES, concurrency=8)
    with pytest.raises(Paused, match=r"USD are spent and the next call may cost .* \(--max-cost 10\.5\); raise"):
        sitting.go(pairs(20))
    cost = sitting.judge.spent().cost
    assert cost is not None
    assert 5 < cost <= 10.5  # what a call may cost is reserved: two bytes a token
    richer = Sitting(good.address, tmp_path, Budget(max_cost=1000), prices=PRICES)
    assert len(richer.go(pairs(20))) == 20
    assert richer.judge.spent().cost == pytest.approx(40)
    assert set(good.answered.values()) == {1}


def test_a_server_without_usage(tmp_path: Path):
    with FaultServer(usage=False) as running:
        sitting = Sitting(running.address, tmp_path)
        sitting.go(pairs(3))
        assert sitting.said == ["annotator: the server reports no token usage; its tokens count as 0"]
        assert (sitting.judge.spent().calls, sitting.judge.spent().prompt_tokens) == (6, 0)
        limited = Sitting(running.address, tmp_path, Budget(max_cost=1000), prices=PRICES)
        with pytest.raises(AnnotatorError, match="reports no token usage, so that --max-cost cannot be kept; limit"):
            limited.go(pairs(4))


def test_again_asks_anew_once(good: FaultServer, tmp_path: Path):
    sitting = Sitting(good.address, tmp_path)
    sitting.go(pairs(3))
    again = sitting.judge.again()
    assert again.fingerprint == sitting.judge.fingerprint
    sitting.go(pairs(3), again)
    assert set(good.answered.values()) == {2}
    sitting.go(pairs(3), Sitting(good.address, tmp_path).judge.again())
    assert set(good.answered.values()) == {2}
    assert again.spent().calls == 12


def refusing(status: int, text: str, when: Callable[[Mapping[str, Any]], bool] = lambda body: True) -> Any:
    return lambda body, headers: (status, text) if when(body) else None


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (401, "no", r"annotator\.api_key_env: http.* refuses access to 'test' \(HTTP 401: .*\); correct the key"),
        (403, "no", r"annotator\.api_key_env: "),
        (404, "no model", r"annotator\.model: .* does not know 'test' \(HTTP 404: .*\); correct the model, or the"),
        (402, "pay", r"serves 'test' to nobody without credit .*; add credit"),
        (429, '{"error": {"message": "no", "code": "insufficient_quota"}}', "nobody without credit"),
        (400, "bad max_tokens", r"refuses what 'test' is asked .*bad max_tokens.*; correct model, max_tokens or extra"),
    ],
)
def test_what_every_call_would_get_stops_at_once(status: int, text: str, words: str, tmp_path: Path):
    with FaultServer(refuse=refusing(status, text)) as running:
        sitting = Sitting(running.address, tmp_path, concurrency=2)
        with pytest.raises(AnnotatorError, match=f"{words}.*what was answered is kept"):
            sitting.go(pairs(50))
        assert sum(running.asked.values()) <= 4


def test_an_over_long_prompt_is_an_abstention_even_as_the_first(tmp_path: Path):
    text = '{"error": {"message": "request (5031 tokens) exceeds the available context size"}}'
    with FaultServer(refuse=refusing(400, text, lambda body: "Question 0\n" in str(body["messages"][0]))) as running:
        running.refuse = refusing(400, text, lambda body: "Question 0\n" in body["messages"][0]["content"])
        sitting = Sitting(running.address, tmp_path)
        preferences = sitting.go(pairs(5))
        assert [p.verdict for p in preferences.values()].count(Verdict.ABSTAIN) == 1
        assert sitting.judge.spent().failed == 2
        assert len(sitting.said) == 1
        assert set(running.asked.values()) == {1}


def test_a_context_that_takes_no_prompt_stops(tmp_path: Path):
    with FaultServer(refuse=refusing(400, "maximum context length is 10 tokens")) as running:
        with pytest.raises(AnnotatorError, match="no prompt fits into the context of 'test'"):
            Sitting(running.address, tmp_path, concurrency=1).go(pairs(50))
        assert sum(running.asked.values()) == 10


def test_a_request_that_is_refused_among_good_ones_is_an_abstention(tmp_path: Path):
    with FaultServer(refuse=refusing(400, "filtered", lambda b: "Question 9\n" in b["messages"][0]["content"])) as server:
        preferences = Sitting(server.address, tmp_path, concurrency=1).go(pairs(12))
        assert [p.verdict for p in preferences.values()].count(Verdict.ABSTAIN) == 1


@pytest.mark.parametrize("status", [400, 403, 422, 501])
def test_log_probabilities_that_are_refused(status: int, tmp_path: Path):
    text = '{"error": {"message": "top_logprobs is not supported"}}'
    with FaultServer(refuse=refusing(status, text, lambda body: "logprobs" in body)) as running:
        sitting = Sitting(running.address, tmp_path)
        assert {p.verdict for p in sitting.go(pairs(6)).values()} == {Verdict.A, Verdict.B, Verdict.TIE}
        assert len(sitting.said) == 1
        assert "refuses log-probabilities" in sitting.said[0]
        assert set(running.answered.values()) <= {0, 1}
        assert sum(running.answered.values()) == 12
        with pytest.raises(AnnotatorError, match=r"annotator\.read: logprobs, and .* refuses them \(HTTP"):
            Sitting(running.address, tmp_path, read="logprobs").go(pairs(1))


def test_a_server_that_is_not_there(tmp_path: Path):
    with FaultServer() as gone:
        address = gone.address
    words = r"annotator\.base_url: http.* does not answer \(.*refused.*\); start the server or correct the address; what"
    with pytest.raises(AnnotatorError, match=words):
        Sitting(address, tmp_path, retries=5).go(pairs(50))


def test_a_server_that_dies_during_the_run(tmp_path: Path):
    running = FaultServer()
    with running:
        units = Sitting(running.address, tmp_path, retries=1, concurrency=2).judge.judge(pairs(50), set())
        next(units)
    with pytest.raises(AnnotatorError, match="does not answer"):
        list(units)
    assert Calls(tmp_path / "calls.sqlite").spent("run", None).failed == 9  # the tenth in a row stops


def test_a_server_that_only_fails(tmp_path: Path):
    with FaultServer(faults=1.0, kinds=(Fault.BROKEN,)) as running:
        with pytest.raises(AnnotatorError, match=r"does not answer \(HTTP 500"):
            Sitting(running.address, tmp_path, retries=2, concurrency=1).go(pairs(50))
        assert set(running.asked.values()) == {3}
        assert len(running.asked) == 10
    with FaultServer(faults=1.0, kinds=(Fault.BROKEN,)) as running:
        few = Sitting(running.address, tmp_path, retries=0)
        assert [p.verdict for p in few.go(pairs(3)).values()] == [Verdict.ABSTAIN] * 3
        assert len(few.said) == 1
        assert "a call was given up and counts as an abstention (HTTP 500" in few.said[0]


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUDGE_KEY", f" {SECRET}\n")
    seen: set[str] = set()

    def echo(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        seen.add(headers["Authorization"])
        return None

    with FaultServer(refuse=echo, rule=lambda prompt: {f"A {SECRET}": 1.0}) as running:
        Sitting(running.address, tmp_path, api_key_env="JUDGE_KEY", read="text").go(pairs(2))
    assert seen == {f"Bearer {SECRET}"}
    files = list(tmp_path.iterdir())
    assert files
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("masked", [SECRET, f"Bearer {SECRET}", "sk-very****6789"])
def test_no_error_holds_the_key(masked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    text = f'{{"error": {{"message": "Incorrect API key provided: {masked}. \\u001b[31m" }}}}'
    with FaultServer(refuse=refusing(401, text)) as running:
        with pytest.raises(AnnotatorError) as caught:
            Sitting(running.address, tmp_path, api_key_env="JUDGE_KEY").go(pairs(2))
    shown = f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert "sk-very" not in shown
    assert "\x1b" not in shown
    assert "Incorrect API key provided: " in shown
    assert "JUDGE_KEY" in shown


def test_a_missing_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"annotator\.api_key_env: the environment variable JUDGE_KEY is not set; set"):
        Sitting("https://judge.invalid/v1", tmp_path, api_key_env="JUDGE_KEY")
    for local in ("http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        Sitting(local, tmp_path, api_key_env="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", "sk-\u00e9")
    with pytest.raises(ConfigError, match="the value of JUDGE_KEY holds characters that no key has"):
        Sitting("http://localhost:1/v1", tmp_path, api_key_env="JUDGE_KEY")


def test_a_missing_library_and_an_impossible_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match=r"annotator\.base_url: 'http://\[::1' is no address"):
        Sitting("http://[::1", tmp_path)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(AnnotatorError, match=r"run pip install 'burnish\[judge\]'"):
        Sitting("http://localhost:1/v1", tmp_path)
