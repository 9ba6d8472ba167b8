"""When the judge stops instead of counting abstentions, and where its key does not go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from servers import Fault, FaultServer, Reaction, Refuse, Sitting, pairs

from burnish.errors import AnnotatorError, ConfigError
from burnish.services import endpoint
from burnish.services.calls import Calls
from burnish.types import Verdict

pytest.importorskip("openai")

SECRET = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def refusing(status: int, text: str, when: Callable[[Mapping[str, Any]], bool] = lambda body: True) -> Refuse:
    def refuse(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        return (status, text) if when(body) else None

    return refuse


def about(line: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda body: f"{line}\n" in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (401, "no", r"annotator\.api_key_env: http.* refuses access to 'test' \(HTTP 401: .*\); correct the key"),
        (403, "no", r"annotator\.api_key_env: "),
        (404, "no model", r"annotator\.model: .* does not know 'test' \(HTTP 404: .*\); correct the model, or the"),
        (402, "pay", r"does not serve 'test' without credit .*; add credit"),
        (429, '{"error": {"message": "no", "code": "insufficient_quota"}}', "does not serve .* without credit"),
        (400, "bad max_tokens", r"refuses the requests to 'test' .*bad max_tokens.*; correct model, max_tokens"),
    ],
)
def test_what_every_call_would_get_stops_at_once(status: int, text: str, words: str, tmp_path: Path):
    with FaultServer(refuse=refusing(status, text)) as running:
        sitting = Sitting(running.address, tmp_path, concurrency=2)
        with pytest.raises(AnnotatorError, match=f"{words}.*the answers so far are kept"):
            sitting.go(pairs(50))
        assert sum(running.asked.values()) <= 4


def test_an_over_long_prompt_is_an_abstention_even_as_the_first(tmp_path: Path):
    text = '{"error": {"message": "request (5031 tokens) exceeds the available context size"}}'
    with FaultServer(refuse=refusing(400, text, about("Question 0"))) as running:
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


@pytest.mark.parametrize("words", ["filtered", "prompt is too long"])
def test_requests_that_are_refused_after_good_ones_are_abstentions_however_many(words: str, tmp_path: Path):
    asked: list[int] = []

    def after_four(body: Mapping[str, Any]) -> bool:
        asked.append(1)
        return len(asked) > 4

    with FaultServer(refuse=refusing(400, words, after_four)) as running:
        sitting = Sitting(running.address, tmp_path, concurrency=1)
        preferences = sitting.go(pairs(12))
        assert [p.verdict for p in preferences.values()].count(Verdict.ABSTAIN) == 10
        assert sitting.judge.spent().failed == 20


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
    words = r"annotator\.base_url: http.* does not answer \(.*refused.*\); start the server or correct the address; the"
    with pytest.raises(AnnotatorError, match=words):
        Sitting(address, tmp_path, retries=5).go(pairs(2))


def test_a_server_that_dies_during_the_run(tmp_path: Path):
    running = FaultServer()
    with running:
        units = Sitting(running.address, tmp_path, retries=1, concurrency=2).judge.judge(pairs(50), set())
        next(units)
    with pytest.raises(AnnotatorError, match="does not answer"):
        list(units)
    assert Calls(tmp_path / "calls.sqlite").spent("run", None).failed in (9, 10)
    # The tenth in a row stops; the first of them may have been under way beside the last answer.


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
        seen.add(headers["authorization"])
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
    with FaultServer(refuse=refusing(401, text)) as running, pytest.raises(AnnotatorError) as caught:
        Sitting(running.address, tmp_path, api_key_env="JUDGE_KEY").go(pairs(2))
    shown = f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert "sk-very" not in shown
    assert "\x1b" not in shown
    assert "Incorrect API key provided: " in shown
    assert "JUDGE_KEY" in shown


def test_a_missing_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(
        ConfigError, match=r"annotator\.api_key_env: the environment variable JUDGE_KEY is not set; set"
    ):
        Sitting("https://judge.invalid/v1", tmp_path, api_key_env="JUDGE_KEY")
    for local in ("http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        Sitting(local, tmp_path, api_key_env="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", "sk-\u00e9")
    with pytest.raises(ConfigError, match="the value of JUDGE_KEY holds characters that no key has"):
        Sitting("http://localhost:1/v1", tmp_path, api_key_env="JUDGE_KEY")


def test_a_missing_library_and_an_impossible_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match=r"annotator\.base_url: 'http://\[v1\.x\]/v1' is not an address"):
        Sitting("http://[v1.x]/v1", tmp_path)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(AnnotatorError, match=r"run pip install 'burnish\[judge\]'"):
        Sitting("http://localhost:1/v1", tmp_path)
