"""A budget for calls that several hosts share through a bucket. The bucket is in memory here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore
from servers import FaultServer, examples, judge_config, pairs

from burnish.annotators.llm.judge import ServerJudge
from burnish.config import Prices
from burnish.errors import Paused, StageError
from burnish.services.allowance import Allowance, Amount, CallLimits
from burnish.services.calls import CallBudget, Calls
from burnish.store.bucket import Bucket
from burnish.store.object_store import ObjectStore

ONE = Amount(1, 0.5)


def hosts(count: int = 2, objects: Any = None) -> list[Allowance]:
    bucket = Bucket(objects or MemoryStore(), "memory://bucket/x")
    return [Allowance(ObjectStore(bucket, Path("unused")).tally("run")) for _ in range(count)]


def limits(calls: int | None = None, cost: float | None = None) -> CallLimits:
    return CallLimits(calls=calls, cost=cost)


def test_hosts_that_ask_at_the_same_time_stay_within_the_limit() -> None:
    def ask(host: Allowance) -> int:
        made = 0
        while host.reserve(f"{made}", ONE, limits(calls=101), 8) is None:
            host.pay(f"{made}", ONE)
            made += 1
        host.give_back()
        return made

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(ask, hosts(4)))
    # A host that is refused has nothing left, so the last one takes all of the rest.
    assert sum(made) == 101


def test_what_is_not_used_is_given_back_and_what_a_killed_host_took_stays_taken() -> None:
    first, killed, third = hosts(3)
    one, most = Amount(1), limits(calls=20)
    for host in (first, killed):
        assert host.reserve("a", one, most, 8) is None
        host.pay("a", one)
    first.give_back()
    # The first host took 1 + 19 / 4 = 5, and then the killed one 1 + 14 / 4 = 4. The first one used 1.
    assert [third.reserve(f"{call}", one, most, 8) for call in range(15)] == [None] * 15
    assert third.reserve("more", one, most, 8) == Amount(20)
    assert third.reserve("more", one, limits(calls=21), 8) is None


def test_a_call_without_an_answer_is_free_and_one_that_was_interrupted_is_paid() -> None:
    first, second = hosts()
    for key, paid in (("failed", Amount()), ("answered", ONE)):
        assert first.reserve(key, ONE, limits(calls=2), 1) is None
        first.pay(key, paid)
    assert first.reserve("interrupted", ONE, limits(calls=2), 1) is None
    first.give_back()
    first.pay("interrupted", Amount())  # its thread ends too late
    assert second.reserve("one more", ONE, limits(calls=2), 1) == Amount(2, 1.0)


def test_money_is_shared_and_what_a_call_did_not_cost_is_free_again() -> None:
    first, second = hosts()
    assert first.reserve("a", Amount(1, 6.0), limits(cost=10.0), 8) is None
    assert second.reserve("a", Amount(1, 6.0), limits(cost=10.0), 8) == Amount(
        8, 7.0
    )  # the first host took 7 calls and 4 / 4 of money in advance
    first.pay("a", Amount(1, 2.0))
    first.give_back()
    assert second.reserve("a", Amount(1, 6.0), limits(cost=10.0), 8) is None


def test_without_a_limit_calls_are_counted_for_hosts_that_have_one() -> None:
    first, second = hosts()
    for call in range(30):
        assert first.reserve(f"{call}", ONE, limits(), 8) is None
        first.pay(f"{call}", ONE)
    first.give_back()
    assert second.reserve("a", ONE, limits(calls=30), 8) == Amount(30, 15.0)


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"a": 3}', b'{"a": {"calls": "x"}}'])
def test_a_damaged_object_stops_the_calls(damaged: bytes) -> None:
    objects = MemoryStore()
    objects.put("spending/run.json", damaged)
    (host,) = hosts(1, objects)
    with pytest.raises(StageError, match="is damaged, so no call is made; look below spending/"):
        host.reserve("a", ONE, limits(calls=2), 1)


class Unconditional:
    """A service that knows no condition, and writes whatever it is given."""

    def __init__(self) -> None:
        self._objects = MemoryStore()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def put(self, key: str, data: bytes, mode: object = None) -> Any:
        return self._objects.put(key, data)


def test_a_service_without_conditional_writes_is_refused(tmp_path: Path) -> None:
    for objects in (Unconditional(), LocalStore(str(tmp_path))):
        (host,) = hosts(1, objects)
        with pytest.raises(StageError, match=r"no conditional writes \(If-Match\), so a limit of calls cannot hold"):
            host.reserve("a", ONE, limits(calls=2), 1)


def test_no_change_of_an_object_is_lost() -> None:
    bucket = Bucket(MemoryStore(), "memory://bucket/x")

    def add(_: int) -> None:
        bucket.alter("number", lambda data: b"%d" % (int(data or b"0") + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    assert bucket.read("number") == b"40"


# --- judges


class Desk:
    """The judge of one host. All hosts share a bucket, and each has a ledger of its own."""

    def __init__(self, folder: Path, bucket: Bucket, address: str, budget: CallBudget, **settings: Any) -> None:
        store, self.said = ObjectStore(bucket, folder), list[str]()
        calls, config = Calls(folder / "calls.sqlite", store.tally), judge_config(address, **settings)
        self.judge = ServerJudge(config, examples(1000), calls, "run", budget, self.said.append)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(MemoryStore(), "memory://bucket/x")


def test_two_hosts_together_ask_a_server_for_no_more_than_the_limit(tmp_path: Path, bucket: Bucket) -> None:
    pytest.importorskip("openai")
    with FaultServer() as server:

        def judged(host: str) -> str:
            # Each host has pairs of its own, so no answer could be shared.
            own = pairs(40)[:20] if host == "a" else pairs(40)[20:]
            desk = Desk(tmp_path / host, bucket, server.address, CallBudget(max_calls=20))
            with pytest.raises(Paused) as stop:
                list(desk.judge.judge(own, set()))
            return str(stop.value)

        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(judged, "ab"))
        assert sum(server.asked.values()) == 20
        words = r"20 calls are spent or reserved on all machines that share the store (--max-calls 20); raise"
        assert any(words in text for text in said)
        raised = Desk(tmp_path / "a", bucket, server.address, CallBudget(max_calls=200))
        assert len(list(raised.judge.judge(pairs(30), set()))) == 30


def test_money_of_two_hosts(tmp_path: Path, bucket: Bucket) -> None:
    pytest.importorskip("openai")
    prices = Prices(input_per_million=1000.0, output_per_million=1000.0, currency="USD")
    with FaultServer() as server:
        for host, words in (("a", "USD are spent"), ("b", "spent or reserved on all machines that share the store")):
            desk = Desk(tmp_path / host, bucket, server.address, CallBudget(max_cost=2.0), prices=prices)
            with pytest.raises(Paused, match=rf"{words}.*--max-cost 2\); raise --max-cost to go on"):
                list(desk.judge.judge(pairs(30), set()))
        # Each call costs 102 tokens, which are 0.102.
        assert 10 <= sum(server.asked.values()) <= 19


def test_a_bucket_that_fails_at_the_end_breaks_no_limit(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")

    def fail(_: Allowance) -> None:
        raise StageError("the bucket is away")

    monkeypatch.setattr(Allowance, "give_back", fail)
    with FaultServer() as server:
        desk = Desk(tmp_path, bucket, server.address, CallBudget(max_calls=40))
        assert len(list(desk.judge.judge(pairs(4), set()))) == 4
    assert desk.said == ["warning: calls that were reserved and not made count as made, because the bucket is away"]
