"""The judge on a server that fails: what is asked, what is paid, what is counted, and when it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from servers import Fault, FaultServer, Reaction, Sitting, judge_config, pair, pairs

from burnish.annotators.llm.judge import ServerJudge
from burnish.config import Prices
from burnish.config import judge as judge_settings
from burnish.errors import AnnotatorError, Paused
from burnish.services import crew, endpoint
from burnish.services.calls import CallBudget
from burnish.types import Order, Preference, Verdict

pytest.importorskip("openai")

PRICES = Prices(input_per_million=10_000, output_per_million=0)  # a call of 100 tokens costs 1


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


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
        assert [(p.verdict, p.raw) for p in preferences.values()] == [
            (Verdict.B, (1, 0)),
            (Verdict.A, (0, 1)),
            (Verdict.TIE, (0.5, 0.5)),
            (Verdict.ABSTAIN, ()),
        ]
        assert Counter(p.verdict for p in preferences.values()) == Counter(Verdict)
        assert sitting.said == [
            "annotator: the server gives no log-probabilities; its replies are parsed",
            "annotator: 2 replies count as abstentions: 2 name no label",
        ]
        with pytest.raises(AnnotatorError, match=r"annotator\.read: logprobs, and .* returns none for 'test'; write"):
            Sitting(running.address, tmp_path, read="logprobs").go(pairs(1))


def test_prose_without_weight_on_a_label_is_an_abstention(good: FaultServer, tmp_path: Path):
    sitting = Sitting(good.address, tmp_path)
    (preference,) = sitting.go([pair("0", "odd", "good")]).values()
    assert (preference.verdict, preference.raw) == (Verdict.ABSTAIN, ())
    assert sitting.said == ["annotator: 2 replies count as abstentions: 2 name no label"]


def test_a_new_version_of_the_reader_reads_kept_replies_and_pays_for_nothing(
    good: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    new = Sitting(good.address, tmp_path)
    assert judge_config(good.address).semantic()["reader"] == judge_settings.READER == 2
    monkeypatch.setattr(judge_settings, "READER", 1)
    old = Sitting(good.address, tmp_path)
    old.go(pairs(3))
    assert old.judge.fingerprint != new.judge.fingerprint  # stored preferences of the old reader are not taken over
    assert len(new.go(pairs(3))) == 3
    assert (new.judge.spent().calls, new.judge.spent().cached) == (6, 6)
    assert set(good.answered.values()) == {1}


def test_what_changes_verdicts_is_part_of_a_judge():
    plain = judge_config("http://localhost:1/v1").semantic()
    assert judge_config("http://localhost:1/v1", min_mass=0.5).semantic() != plain
    text = [judge_config("http://localhost:1/v1", read="text", min_mass=mass).semantic() for mass in (0.25, 0.5)]
    assert text[0] == text[1]  # without log-probabilities there is no mass


def test_done_comparisons_and_repeats_are_not_asked_and_equal_requests_once(good: FaultServer, tmp_path: Path):
    sitting, comparisons = Sitting(good.address, tmp_path), pairs(3)
    done = {comparisons[0].id}
    units = list(sitting.judge.judge([*comparisons, comparisons[1], pair("9", "same", "same")], done))
    assert sorted(unit[0].comparison_id for unit in units) == sorted(
        [comparison.id for comparison in comparisons[1:]] + [pair("9", "same", "same").id]
    )
    assert sum(good.asked.values()) == 5
    assert sitting.judge.spent().cached == 1


@pytest.mark.slow
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
from servers import Sitting, pairs
for unit in Sitting(sys.argv[1], Path(sys.argv[2]), concurrency=2).judge.judge(pairs(40), set()):
    print("judged", flush=True)
"""


INTERRUPTED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)" + KILLED.replace(
    "concurrency=2", "concurrency=2, timeout=3600.0"
)
"""Whoever starts the tests in the background may have told their children to ignore interrupts."""


@pytest.mark.slow
def test_a_killed_process_loses_the_calls_under_way_at_most(tmp_path: Path):
    enough, seen = threading.Event(), Counter[str]()

    def slow_after_ten(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        seen["asked"] += 1
        if seen["asked"] > 10 and not enough.is_set():
            enough.wait(30)
        return None

    with FaultServer(refuse=slow_after_ten) as running:
        command = [sys.executable, "-c", KILLED, running.address, str(tmp_path), str(Path(__file__).parents[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"judged\n"
            while seen["asked"] < 12:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        enough.set()
        assert len(Sitting(running.address, tmp_path).go(pairs(40))) == 40
        twice = [key for key, times in running.answered.items() if times > 1]
        assert len(twice) <= 2  # two were under way
        assert len(running.answered) == 80


@pytest.mark.slow
def test_an_interrupt_waits_for_no_timeout(tmp_path: Path):
    with FaultServer(faults=1.0, kinds=(Fault.TIMEOUT,)) as running:
        command = [sys.executable, "-c", INTERRUPTED, running.address, str(tmp_path), str(Path(__file__).parents[1])]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            while len(running.asked) < 2:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            try:
                _, errors = process.communicate(timeout=60)  # the judge's own timeout is much longer
            finally:
                process.kill()
    assert errors.decode().rstrip().endswith("KeyboardInterrupt")


def test_who_waits_for_a_retry_is_woken():
    begun = threading.Event()

    def waits(job: int, pause: Callable[[float], bool]) -> bool:
        begun.set()
        return pause(3600)

    work = crew.Crew[int, bool](1, waits)
    work.submit(1)
    begun.wait(60)
    work.close()
    assert work.result() == (1, True)


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

    def sit(budget: CallBudget) -> None:
        for unit in Sitting(good.address, tmp_path, budget, concurrency=8).judge.judge(pairs(20), got.keys()):
            got.update({preference.comparison_id: preference for preference in unit})

    with pytest.raises(Paused, match=r"^13 calls are spent \(--max-calls 13\); raise --max-calls to go on$"):
        sit(CallBudget(max_calls=13))
    assert sum(good.answered.values()) == 13
    assert len(got) == 6
    with pytest.raises(Paused):
        sit(CallBudget(max_calls=13))
    assert sum(good.answered.values()) == 13
    sit(CallBudget(max_calls=40))
    assert len(got) == 20
    assert set(good.answered.values()) == {1}
    assert sum(good.answered.values()) == 40


def test_a_failed_call_gives_its_place_in_the_budget_back(tmp_path: Path):
    with FaultServer(faults=0.5, kinds=(Fault.BUSY, Fault.BROKEN), seed=1) as running:
        sitting = Sitting(running.address, tmp_path, CallBudget(max_calls=20), retries=0, concurrency=4)
        with pytest.raises(Paused, match="20 calls are spent"):
            sitting.go(pairs(40))
        assert sitting.judge.spent().failed > 0
        assert sum(running.answered.values()) == sitting.judge.spent().calls == 20


def test_what_is_cached_comes_although_the_budget_is_spent(good: FaultServer, tmp_path: Path):
    comparisons = pairs(10)
    Sitting(good.address, tmp_path).go(comparisons[5:])
    poor = Sitting(good.address, tmp_path, CallBudget(max_calls=10))
    units, got = poor.judge.judge(comparisons, set()), list[str]()
    with pytest.raises(Paused):
        got.extend(unit[0].comparison_id for unit in units)
    assert got == [comparison.id for comparison in comparisons[5:]]


@pytest.mark.slow
def test_max_cost_is_kept_with_calls_side_by_side(good: FaultServer, tmp_path: Path):
    sitting = Sitting(good.address, tmp_path, CallBudget(max_cost=10.5), prices=PRICES, concurrency=8)
    with pytest.raises(Paused, match=r"USD are spent and the next call may cost .* \(--max-cost 10\.5\); raise"):
        sitting.go(pairs(20))
    cost = sitting.judge.spent().cost
    assert cost is not None
    assert 5 < cost <= 10.5  # what a call may cost is reserved: two bytes a token
    richer = Sitting(good.address, tmp_path, CallBudget(max_cost=1000), prices=PRICES)
    assert len(richer.go(pairs(20))) == 20
    assert richer.judge.spent().cost == pytest.approx(40)
    assert set(good.answered.values()) == {1}


def test_a_server_without_usage(tmp_path: Path):
    with FaultServer(usage=False) as running:
        sitting = Sitting(running.address, tmp_path)
        sitting.go(pairs(3))
        assert sitting.said == ["annotator: the server reports no token usage; its tokens count as 0"]
        assert (sitting.judge.spent().calls, sitting.judge.spent().prompt_tokens) == (6, 0)
        limited = Sitting(running.address, tmp_path, CallBudget(max_cost=1000), prices=PRICES)
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
