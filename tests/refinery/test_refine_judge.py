"""A refinement whose judge is a server that fails: what is counted, what is paid, what is kept, what stays secret."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from refinement import CAP, COUNT, RIGHT, WRONG_LABELS, Refined, fake, refine, right_labels, settings, written
from servers import QUICK, FaultServer, Reaction

from burnish.config import JudgeConfig
from burnish.errors import AnnotatorError, ConfigError, Paused
from burnish.ledger.summary import State
from burnish.refinery import RunOptions
from burnish.refinery.dry_run import dry_run, words
from burnish.services import endpoint
from burnish.services.calls import CALLS, CallBudget
from burnish.types import Reason

PARTS = re.compile(r"\[Request\]\n(.*?)\n\n\[Answer A\]\n(.*?)\n\n\[Answer B\]\n(.*?)\n\nWhich", re.DOTALL)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def knows(prompt: str) -> Mapping[str, float]:
    """Prefer the right answer, surely but not fully."""
    found = PARTS.search(prompt)
    assert found is not None, prompt
    first, second = (side == f"#### {RIGHT[found[1]]}" for side in (found[2], found[3]))
    if first == second:
        return {"C": 0.9, "A": 0.05, "B": 0.05}
    return {"A": 0.9, "B": 0.1} if first else {"B": 0.9, "A": 0.1}


def judge(address: str, **more: Any) -> dict[str, Any]:
    given = {
        "kind": "judge",
        "base_url": address,
        "model": "test",
        "api_key_env": None,
        "timeout": 10,
        "concurrency": 4,
    }
    return {"annotator": {**given, **more}, "no_selftest": True}


@pytest.mark.slow
def test_a_third_of_the_calls_fails_and_the_refinement_ends(tmp_path: Path) -> None:
    with FaultServer(faults=0.35, seed=8, kinds=QUICK, rule=knows) as running:
        config = settings(written(tmp_path), **judge(running.address, retries=1), rounds=1)
        found = refine(config, tmp_path)
        lost = sum(not running.answered[key] for key in running.asked)
    assert sum(running.faulty.values()) > 10
    calls = found.summary.calls
    assert calls is not None
    assert lost >= 2
    assert (calls.failed, calls.calls, calls.cost) == (lost, len(running.asked) - lost, None)
    abstained = [line for line in found.ledger if line.reason is Reason.ABSTAINED]
    assert lost / 2 <= len(abstained) <= lost
    assert sum(one.counts.get("abstained", 0) for one in found.summary.rounds) == len(abstained)
    assert {(line.score, line.chosen == line.kept) for line in abstained} == {(None, True)}
    assert found.summary.state is State.DONE
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP
    page = (found.out / "report.html").read_text()
    assert f"{calls.calls:,} answered calls, {lost:,} given up" in page
    assert "abstained" in page


# Not marked slow: `make check` asks a server in at least one refinement.
def test_a_budget_pauses_and_a_larger_one_goes_on_without_asking_again(tmp_path: Path) -> None:
    prices = {"input_per_million": 10_000, "output_per_million": 0}  # a call of 100 tokens costs 1
    with FaultServer(rule=knows) as running:
        config = settings(written(tmp_path), **judge(running.address, prices=prices), rounds=1)
        for limit in (CallBudget(max_calls=20), CallBudget(max_calls=30), CallBudget(max_cost=40.0)):
            with pytest.raises(Paused) as stop:
                refine(config, tmp_path, budget=limit)
            assert stop.value.message
            spent = Refined(tmp_path / "out", tmp_path / "store").summary
            assert spent.state is State.WAITING
            assert spent.calls is not None
            assert spent.calls.calls == running.answered.total() <= (limit.max_calls or limit.max_cost or 0)
        assert running.answered.total() > 30
        found = refine(config, tmp_path)
        assert set(running.answered.values()) == {1}
    assert found.summary.calls is not None
    assert found.summary.calls.calls == running.answered.total() == found.summary.calls.cost
    assert found.summary.calls.calls == 2 * found.summary.rounds[0].compared
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP


def test_a_limit_on_money_needs_prices(tmp_path: Path) -> None:
    config = settings(written(tmp_path), **judge("http://127.0.0.1:9/v1"))
    with pytest.raises(ConfigError, match=r"annotator\.prices: not given, and --max-cost 5 needs them"):
        refine(config, tmp_path, budget=CallBudget(max_cost=5))


@pytest.mark.slow
def test_a_judge_that_always_says_a_does_not_pass_the_self_test(tmp_path: Path) -> None:
    units: list[str] = []
    with FaultServer(rule=lambda _: {"A": 1.0}) as running:
        options = judge(running.address) | {"no_selftest": False, "rounds": 1}
        source = written(tmp_path)
        with pytest.raises(AnnotatorError) as stop:
            refine(settings(source, **options), tmp_path, fake(units.append))
        said = str(stop.value).replace("\u00a0", " ")
        assert "selftest: accuracy 0.500 on planted pairs, selftest.min_accuracy is 0.6" in said
        assert "position lean     +50.0 points" in said
        assert units == []
        before = dict(running.answered)
        found = refine(settings(source, go_on=True, **options), tmp_path)
    assert set(before.values()) == {2}  # the self-test asks twice
    assert {key: running.answered[key] for key in before} == before
    assert running.answered.keys() > before.keys()
    assert set(found.reasons(1)) == {Reason.AGREED, Reason.ORDERS_DISAGREE}  # whichever stands first
    report = found.summary.selftest
    assert report is not None
    assert (report.accuracy.value, report.flip_rate and report.flip_rate.value) == (0.5, 1.0)
    page = (found.out / "report.html").read_text()
    assert "What the annotator is worth" in page
    assert "lean to the answer shown first" in page


def test_a_server_that_is_not_there_is_said_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    config = settings(written(tmp_path), **judge(address), rounds=1)
    units: list[str] = []
    with pytest.raises(AnnotatorError, match=rf"annotator\.base_url: {address} does not answer .*; start the server"):
        refine(config, tmp_path, fake(units.append))
    before = len(units)
    with pytest.raises(AnnotatorError, match="does not answer"):
        refine(config, tmp_path, fake(units.append))
    assert len(units) == before > 0  # models were trained and asked once
    assert Refined(tmp_path / "out", tmp_path / "store").summary.state is State.UNDER_WAY
    with pytest.raises(AnnotatorError, match="does not answer"):
        refine(
            settings(written(tmp_path), **{**judge(address), "no_selftest": False}), tmp_path / "b", fake(units.append)
        )
    assert len(units) == before  # the self-test comes before anything is spent


@pytest.mark.slow
def test_the_key_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("MY_KEY", secret)
    seen: Counter[str] = Counter()

    def echo(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        seen[headers["authorization"]] += 1
        if seen.total() % 7 == 0:
            return 400, f'{{"error": {{"message": "bad request with the key {secret}"}}}}'
        if seen.total() % 5 == 0:
            return 200, f'{{"choices": [{{"message": {{"role": "assistant", "content": "{secret}"}}}}]}}'
        return None

    def deny(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction:
        return 401, f'{{"error": {{"message": "wrong key {secret}"}}}}'

    with FaultServer(rule=knows, refuse=echo, faults=0.1, kinds=QUICK) as running:
        config = settings(written(tmp_path), **judge(running.address, api_key_env="MY_KEY", retries=1), rounds=1)
        found = refine(config, tmp_path)
        for more in ({"retries": 0}, {"model": "other"}):
            with FaultServer(refuse=deny) as strict:
                refused = settings(written(tmp_path), **judge(strict.address, api_key_env="MY_KEY", **more), rounds=1)
                with pytest.raises(AnnotatorError) as stop:
                    refine(refused, tmp_path / str(more))
                assert secret not in str(stop.value)
    assert set(seen) == {f"Bearer {secret}"}
    assert (found.store / CALLS).stat().st_size > 0
    asked = found.summary.config.annotator
    assert isinstance(asked, JudgeConfig)
    assert asked.api_key_env == "MY_KEY"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        assert secret.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_vote_of_a_judge_and_a_column_asks_the_judge_once(tmp_path: Path) -> None:
    with FaultServer(rule=lambda _: {"A": 0.5, "B": 0.5}) as running:
        of = [judge(running.address)["annotator"], {"kind": "oracle", "column": "gold"}]
        config = settings(written(tmp_path), annotator={"kind": "majority", "of": of}, rounds=1)
        found = refine(config, tmp_path)
        assert refine(config, tmp_path).summary == found.summary
        assert set(running.answered.values()) == {1}
    # half a vote of the judge and a whole one of the column
    assert {line.score for line in found.ledger if line.reason is Reason.ACCEPTED} == {0.25}
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP
    assert found.summary.calls is not None
    assert found.summary.selftest is None  # the column knows nothing of planted pairs


@pytest.mark.slow
@pytest.mark.parametrize("skipped", [False, True])
def test_the_dry_run_promises_no_fewer_calls_than_the_run_makes(tmp_path: Path, skipped: bool) -> None:
    """24 of the 60 rows give 60 pairs: 24 that are worse, 24 that are equal, 12 that are longer. Each is asked about in
    two orders and twice: 240 calls. 10 comparisons in two orders are 20 more."""
    prices = {"input_per_million": 1_000_000, "output_per_million": 0, "currency": "EUR"}
    with FaultServer(rule=knows) as running:
        options = judge(running.address, prices=prices) | {"no_selftest": skipped, "go_on": True, "rounds": 1}
        config = settings(written(tmp_path), "comparisons=10", **options)
        places = RunOptions(out=tmp_path / "out", store=tmp_path / "store")
        promised = dry_run(config, places)
        assert running.answered.total() == 0
        refine(config, tmp_path)
        made = running.answered.total()
        after = dry_run(config, places)
    calls = promised.estimate.calls
    assert calls is not None
    assert (calls.calls, calls.selftest) == ((20, 0) if skipped else (260, 240))
    (line,) = [line for line in words(promised) if line.startswith("judge: ")]
    tested = "" if skipped else " (240 of them for the self-test)"
    assert line.startswith(f"judge: at most {calls.calls} calls{tested}, about ")
    assert line.endswith(f", {calls.prompt_tokens:.2f} EUR")
    # Both orders of two equal answers are one question: 24 pairs need 1 call and not 2, each of the two times.
    assert made == (20 if skipped else 260 - 48)
    # The self-test is finished and is not asked again.
    assert after.estimate.calls is not None
    assert (after.estimate.calls.calls, after.estimate.calls.selftest) == (20, 0)


def test_each_judge_of_a_vote_is_promised_its_calls(tmp_path: Path) -> None:
    first, second = (
        judge("http://127.0.0.1:9/v1", model=name, prices={"input_per_million": 1, "output_per_million": 1} | more)
        for name, more in (("a", {}), ("b", {"currency": "EUR"}))
    )
    for other, currency in ((first, "USD"), (second, "")):
        of = [first["annotator"], other["annotator"]]
        config = settings(written(tmp_path), annotator={"kind": "majority", "of": of}, rounds=1)
        calls = dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store")).estimate.calls
        assert calls is not None
        assert (calls.calls, calls.selftest) == (2 * (2 * COUNT + 240), 2 * 240)
        assert (calls.currency, calls.cost is None) == (currency, not currency)
