"""Proposals from a model on a server: what is sent, counted and paid for, and what a kill or a fault leaves."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from refinement import ALPHA, CAP, COUNT, RIGHT, WRONG_LABELS, Refined, bytes_of, right_labels, rows, written
from refinement import refine as refine_with
from servers import QUICK, FaultServer, Reaction, llama_server
from stops import StopError, stop_once_before_each_manifest, until_done

from burnish.config import RefineConfig
from burnish.errors import AnnotatorError, ConfigError, Paused
from burnish.ledger.summary import State
from burnish.protocols import Backend
from burnish.refinery import RunOptions, refine_data
from burnish.refinery.dry_run import dry_run, words
from burnish.refinery.options import Options, config_of
from burnish.refinery.words import closing
from burnish.services import endpoint
from burnish.services.calls import CallBudget, Calls, Reply
from burnish.types import Reason

pytest.importorskip("openai")
PARTS = re.compile(r"\[Request\]\n(.*?)\n\n\[Answer A\]\n(.*?)\n\n\[Answer B\]\n(.*?)\n\nWhich", re.DOTALL)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def knows(prompt: str) -> Mapping[str, float]:
    """Propose the right answer to a question; as a judge, prefer it."""
    found = PARTS.search(prompt)
    if found is None:
        return {f"#### {RIGHT[prompt]}": 1.0}
    first, second = (side == f"#### {RIGHT[found[1]]}" for side in (found[2], found[3]))
    if first == second:
        return {"C": 0.9, "A": 0.05, "B": 0.05}
    return {"A": 0.9, "B": 0.1} if first else {"B": 0.9, "A": 0.1}


def server(address: str, **more: Any) -> dict[str, Any]:
    given = {"kind": "server", "base_url": address, "model": "test", "api_key_env": None, "concurrency": 4}
    return {**given, "timeout": 10, **more}


def judge(address: str, **more: Any) -> dict[str, Any]:
    return {**server(address), "kind": "judge", **more}


def config(source: Path, proposals: dict[str, Any], *changes: str, **options: Any) -> RefineConfig:
    given: dict[str, Any] = {"annotator": "oracle:gold", "alpha": ALPHA, "differs": "number", **options}
    return config_of(Options(data=str(source), proposals=proposals, changes=changes, **given))


def no_backend() -> Backend:
    raise AssertionError("nothing is trained, so no backend is opened")


def places(where: Path, **more: Any) -> RunOptions:
    return RunOptions(out=where / "out", store=where / "store", backend=no_backend, **more)


def refine(config: RefineConfig, where: Path, **more: Any) -> Refined:
    refine_data(config, places(where, **more))
    return Refined(where / "out", where / "store")


def test_a_server_answers_each_prompt_once_and_sees_nothing_else(tmp_path: Path) -> None:
    with FaultServer(rule=knows) as running:
        given = config(written(tmp_path), server(running.address, system="Answer with #### and a number."))
        plan = dry_run(given, places(tmp_path))
        assert running.asked.total() == 0
        found = refine(given, tmp_path)
        assert refine(given, tmp_path).summary == found.summary
        # Another folder with the same questions takes the answers from the cache.
        again = refine_data(given, RunOptions(out=tmp_path / "other", store=tmp_path / "store"))
    assert set(running.answered.values()) == {1}
    assert again.summary.proposal_calls is not None
    assert again.summary.proposal_calls.calls == 0
    asked = {body["messages"][1]["content"]: body for body in running.bodies.values()}
    assert asked.keys() == RIGHT.keys()
    question = next(iter(RIGHT))
    assert asked[question] == {
        "model": "test",
        "messages": [
            {"role": "system", "content": "Answer with #### and a number."},
            {"role": "user", "content": question},
        ],
        "temperature": 0.0,
        "max_tokens": 1024,
    }
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP
    calls = found.summary.proposal_calls
    assert calls is not None
    assert (calls.calls, calls.failed, calls.prompt_tokens, calls.cost) == (COUNT, 0, 100 * COUNT, None)
    assert found.summary.calls is None
    assert "the model test on a server" in (found.out / "report.html").read_text()
    (line,) = [line for line in words(plan) if line.startswith("proposals: ")]
    assert line.startswith(f"proposals: at most {COUNT} calls, about ")
    assert line.endswith(f"{1024 * COUNT:,} written")


def test_held_out_prompts_are_not_sent(tmp_path: Path) -> None:
    with FaultServer(rule=knows) as running:
        given = config(
            written(tmp_path), server(running.address), "train.lora=null", model="builtin:strong", holdout=20
        )
        found = refine_with(given, tmp_path)
    assert found.summary.holdout is not None
    held = {row["question"] for row in rows() if row["id"] in found.summary.holdout.ids}
    assert len(held) == 20
    assert {body["messages"][-1]["content"] for body in running.bodies.values()} == RIGHT.keys() - held


def test_a_server_elsewhere_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    plan = dry_run(config(written(tmp_path), server("https://api.example.com/v1")), places(tmp_path))
    assert plan.sent == [
        "sent to api.example.com, which is not on this machine (proposals): the prompts of at most 60 rows, without "
        "their labels. References are not sent."
    ]
    assert plan.first is None
    assert "at most 60 comparisons in 1 round; no model is trained" in list(words(plan))


@pytest.mark.slow
def test_an_answer_that_was_cut_or_empty_is_invalid(tmp_path: Path) -> None:
    questions = list(RIGHT)

    def rule(prompt: str) -> Mapping[str, float]:
        number = questions.index(prompt)
        text = next(iter(knows(prompt)))
        odd = {2: f"<think>{text}", 3: "", 4: f"<think>It is 7.</think>\n{text}"}
        return {odd.get(number, text): 1.0}

    with FaultServer(rule=rule, ending=lambda prompt: "length" if prompt in questions[:2] else "stop") as running:
        given = config(written(tmp_path), server(running.address), alpha=0.5)
        done = refine_data(given, places(tmp_path))
        # Only the kept calls are left. They know of the end, too: nothing is asked again, and the same is invalid.
        shutil.rmtree(tmp_path / "store" / "stages")
        other = refine_data(given, RunOptions(out=tmp_path / "other", store=tmp_path / "store"))
    found = Refined(tmp_path / "out", tmp_path / "store")
    invalid = [line.example_id for line in found.ledger if line.reason is Reason.INVALID]
    assert invalid == ["row-00", "row-01", "row-02", "row-03"]
    assert [found.answers[line.proposed].finished for line in found.ledger[:5]] == [False, False, False, True, True]
    assert found.answers[found.ledger[4].proposed].completion == f"#### {RIGHT[questions[4]]}"
    assert done.summary.rounds[0].unfinished == 3
    assert other.summary.rounds[0].unfinished == 3
    assert running.asked.total() == COUNT


def test_the_end_names_the_limit_of_the_server(tmp_path: Path) -> None:
    with FaultServer(rule=knows, ending=lambda _: "length") as running:
        done = refine_data(config(written(tmp_path), server(running.address, max_tokens=9)), places(tmp_path))
    advice = "60 proposals had no end after 9 tokens; raise the limit with --set proposals.max_tokens=18"
    assert any(advice in line for line in closing(done))


def test_one_budget_holds_for_proposals_and_judge(tmp_path: Path) -> None:
    dear = {"input_per_million": 20_000, "output_per_million": 0}  # a call of 100 tokens costs 2
    cheap = {"input_per_million": 10_000, "output_per_million": 0}  # and 1
    with FaultServer(rule=knows) as running:
        proposer = server(running.address, prices=dear)
        given = config(written(tmp_path), proposer, annotator=judge(running.address, prices=cheap), no_selftest=True)
        limits = [CallBudget(max_calls=20), CallBudget(max_calls=COUNT + 10), CallBudget(max_cost=2.0 * COUNT + 15)]
        for limit, total in zip(limits, (20, COUNT + 10, COUNT + 15), strict=True):
            with pytest.raises(Paused, match="raise --max-"):
                refine(given, tmp_path, budget=limit)
            assert total - 8 < running.answered.total() <= total
            assert Refined(tmp_path / "out", tmp_path / "store").summary.state is State.WAITING
        found = refine(given, tmp_path)
        assert set(running.answered.values()) == {1}
    calls, proposals = found.summary.calls, found.summary.proposal_calls
    assert calls is not None
    assert proposals is not None
    assert (proposals.calls, proposals.cost) == (COUNT, 2.0 * COUNT)
    assert calls.calls == calls.cost == 2 * found.summary.rounds[0].compared == 2 * WRONG_LABELS
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP


def test_a_kill_after_any_answer_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(tmp_path, rows()[:12])
    put, kept = Calls.put, itertools.count(1)

    def put_and_die(self: Calls, key: str, reply: Reply, run: str) -> None:
        put(self, key, reply, run)
        if next(kept) % 5 == 0:
            raise StopError

    with FaultServer(rule=knows) as running:
        given = config(data, server(running.address))
        whole = refine(given, tmp_path / "whole")
        running.answered.clear()
        monkeypatch.setattr(Calls, "put", put_and_die)
        _, stops = until_done(lambda: refine(given, tmp_path / "pieces"))
        assert stops >= 1
        assert sum(running.answered.values()) == 12
        assert set(running.answered.values()) == {1}
    pieces = Refined(tmp_path / "pieces" / "out", tmp_path / "pieces" / "store")
    assert pieces.ledger == whole.ledger
    assert pieces.summary == whole.summary


@pytest.mark.slow
@pytest.mark.parametrize("tear", [False, True])
def test_stopped_before_every_manifest_the_folder_is_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tear: bool
) -> None:
    with FaultServer(rule=knows) as running:
        given = config(written(tmp_path), server(running.address, concurrency=1))
        whole = refine(given, tmp_path / "whole")
        asked = running.asked.total()
        stopped = stop_once_before_each_manifest(monkeypatch, tear)
        until_done(lambda: refine(given, tmp_path / "pieces"))
        assert running.asked.total() == 2 * asked == 2 * COUNT
    assert set(stopped.values()) == {"given", "propose", "compare", "judge", "refine"}
    assert bytes_of(tmp_path / "pieces" / "out") == bytes_of(whole.out)


@pytest.mark.slow
def test_a_call_that_is_given_up_leaves_its_row_without_a_proposal(tmp_path: Path) -> None:
    questions = list(RIGHT)

    def refuse(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        if body["messages"][0]["content"] in questions[10:13]:
            return 400, '{"error": {"message": "refused by our content policy", "code": "content_filter"}}'
        return None

    with FaultServer(rule=knows, refuse=refuse) as running:
        found = refine(config(written(tmp_path), server(running.address, concurrency=1)), tmp_path)
    assert [line.example_id for line in found.ledger if line.reason is Reason.INVALID] == ["row-10", "row-11", "row-12"]
    assert found.summary.proposal_calls is not None
    assert (found.summary.proposal_calls.calls, found.summary.proposal_calls.failed) == (COUNT - 3, 3)
    assert found.summary.rounds[0].unfinished == 0


@pytest.mark.slow
def test_a_fifth_of_the_calls_fails_and_every_row_gets_a_proposal(tmp_path: Path) -> None:
    with FaultServer(rule=knows, faults=0.2, seed=3, kinds=QUICK) as running:
        found = refine(config(written(tmp_path), server(running.address)), tmp_path)
        assert running.faulty.total() > 5
        assert set(running.answered.values()) == {1}
    assert found.reasons(1)[Reason.INVALID] == 0
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP


def test_a_server_that_goes_away_stops_the_run_and_the_next_one_asks_only_for_the_rest(tmp_path: Path) -> None:
    gone: list[bool] = []

    def refuse(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        return (500, "<html>gone</html>") if gone and len(running.answered) >= 20 else None

    with FaultServer(rule=knows, refuse=refuse) as running:
        given = config(written(tmp_path), server(running.address, retries=0))
        gone.append(True)
        with pytest.raises(AnnotatorError, match=r"proposals\.base_url: .* does not answer .*; the answers so far are"):
            refine(given, tmp_path)
        answered = running.answered.total()
        assert 20 <= answered < COUNT
        gone.clear()
        found = refine(given, tmp_path)
        assert set(running.answered.values()) == {1}
    # Also the rows whose calls failed before the run stopped have a proposal now.
    assert found.reasons(1)[Reason.INVALID] == 0


def test_what_a_server_needs_is_checked_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = written(tmp_path)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    prices = {"input_per_million": 1, "output_per_million": 1}
    with FaultServer(rule=knows) as running:
        asks = {"annotator": judge(running.address, prices=prices)}
        keyless = config(source, server("https://api.example.com/v1", api_key_env="NO_SUCH_KEY"), **asks)
        priceless = config(source, server(running.address), **asks)
        other = config(source, server(running.address, prices=prices | {"currency": "EUR"}), **asks)
        budget = CallBudget(max_cost=1.0)
        for given, limit, why in (
            (keyless, CallBudget(), r"proposals\.api_key_env: the environment variable NO_SUCH_KEY is not set"),
            (priceless, budget, r"proposals\.prices: not given, and --max-cost 1 needs them"),
            (other, budget, r"proposals\.prices: the currency 'EUR' found, but the judge's is 'USD'"),
        ):
            for attempt in (dry_run, refine_data):
                with pytest.raises(ConfigError, match=why):
                    attempt(given, places(tmp_path, budget=limit))
        assert running.asked.total() == 0


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"base_url": "ftp://x"}, r"proposals\.base_url: 'ftp://x' found: must begin with http"),
        ({"extra": {"n": 2}}, r"proposals\.extra: .* found: n cannot be set here"),
        ({"max_tokens": 0}, r"proposals\.max_tokens: 0 found"),
        ({"kind": "servant"}, r"proposals"),
        ({"criteria": "x"}, r"proposals\.criteria: no such field"),
    ],
)
def test_a_wrong_setting_is_named(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        config(Path("d.jsonl"), server("http://127.0.0.1:9/v1") | more)


def test_a_yaml_file_and_changes_name_the_server(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("kind: server\nbase_url: http://127.0.0.1:9/v1/\nmodel: m\n")
    given = config_of(
        Options(data="d.jsonl", annotator="oracle:gold", proposals=str(path), changes=["proposals.temperature=0.7"])
    )
    assert given.proposals is not None
    assert given.proposals.model_dump(mode="json", exclude_defaults=True) == {
        "kind": "server",
        "base_url": "http://127.0.0.1:9/v1",
        "model": "m",
        "temperature": 0.7,
    }
    path.write_text("- 1\n")
    with pytest.raises(ConfigError, match=r"server\.yaml: list found"):
        config_of(Options(data="d.jsonl", annotator="oracle:gold", proposals=str(path)))


# A real server: llama.cpp with a model of 135 million parameters.
@pytest.mark.slow
def test_a_real_server_proposes(tmp_path: Path) -> None:
    data = written(tmp_path, rows()[:4])
    with llama_server() as address:
        given = config(data, server(address, max_tokens=12, concurrency=2), alpha=0.5, differs="text")
        found = refine(given, tmp_path)
    calls = found.summary.proposal_calls
    assert calls is not None
    assert (calls.calls, calls.failed) == (4, 0)
    assert 0 < calls.completion_tokens <= 4 * 12
    proposals = [found.answers[line.proposed] for line in found.ledger]
    assert all(answer.completion for answer in proposals)
    # Twelve tokens are too few for most answers of this model, so the server says that they were cut.
    cut = [line for line, answer in zip(found.ledger, proposals, strict=True) if not answer.finished]
    assert cut
    assert {line.reason for line in cut} == {Reason.INVALID}
