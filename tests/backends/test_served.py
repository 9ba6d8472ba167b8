"""Answers and scores from a server: what is sent, what is believed, faults, and adapters under their own names."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from serving import LIMIT, WEIGHTS, FakeVllm, play

from burnish.backends.served.client import CompletionClient
from burnish.backends.served.host import ServedModel, seed_of
from burnish.backends.served.place import GivenServer
from burnish.backends.served.work import AHEAD, in_order
from burnish.config import Decoding, ModelConfig, ServeConfig
from burnish.errors import BackendError, BurnishError, ConfigError, DataError
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import SamplingKey, Score
from burnish.services import endpoint
from burnish.types import Artifact, Completion, Message, Prompt, Role, TrainingRow

GREEDY = Decoding(beams=1, max_new_tokens=20)
SAMPLED = Decoding(beams=1, max_new_tokens=20, temperature=0.7)
KEY = SamplingKey(seed=3, stage="labels", round=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read characters as tokens, and wait for nothing."""
    play(monkeypatch)
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


@pytest.fixture
def server() -> Iterator[FakeVllm]:
    with FakeVllm() as running:
        yield running


def host_of(server: FakeVllm, **changes: Any) -> ServedModel:
    serve = ServeConfig.model_validate(server.settings(**changes))
    place = GivenServer(serve, "models.strong.serve", "")
    place.look()
    return ServedModel(ModelConfig(source="builtin:strong", serve=serve), place)


def model_in(folder: Path, weights: Weights, says: str = "", fingerprint: str = "f" * 64) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    write_card(folder, ModelCard(base=ModelConfig(source="builtin:strong"), content="c", weights=weights))
    if weights is Weights.ADAPTER:
        (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "target_modules": ["q_proj"]}))
        (folder / WEIGHTS).write_text(says)
    return Artifact(path=str(folder), kind="train", fingerprint=fingerprint)


def asking(*texts: str) -> list[Prompt]:
    return [
        Prompt(id=f"p{n}", messages=(Message(role=Role.USER, content=text),), sample=0) for n, text in enumerate(texts)
    ]


def answers(
    host: ServedModel,
    model: Artifact,
    prompts: list[Prompt],
    decode: Decoding = GREEDY,
    done: frozenset[str] = frozenset(),
) -> list[Completion]:
    return [answer for batch in host.generate(model, prompts, decode, KEY, done) for answer in batch]


def rows(*completions: str) -> list[TrainingRow]:
    prompt = (Message(role=Role.USER, content="ab"),)
    return [TrainingRow(id=f"r{n}", prompt=prompt, completion=text) for n, text in enumerate(completions)]


def scores(host: ServedModel, model: Artifact, *completions: str) -> list[Score]:
    return [score for batch in host.logprobs(model, rows(*completions), frozenset()) for score in batch]


def test_token_ids_go_in_and_come_out(server: FakeVllm, tmp_path: Path) -> None:
    host, base = host_of(server), model_in(tmp_path / "base", Weights.BASE)
    (answer,) = answers(host, base, asking("hi"))
    assert answer == Completion(id="p0", sample=0, text="from the base", finished=True, tokens=14)  # 13 and the end
    (body,) = server.asked
    assert body["prompt"] == [ord("h"), ord("i")]
    assert body["stop_token_ids"] == [0]
    assert (body["temperature"], "seed" in body) == (0.0, False)
    # The server's own defaults must not count.
    assert (body["top_p"], body["top_k"], body["min_p"], body["repetition_penalty"]) == (1.0, -1, 0.0, 1.0)


def test_an_answer_that_is_cut_has_no_end(server: FakeVllm, tmp_path: Path) -> None:
    base = model_in(tmp_path / "base", Weights.BASE)
    (answer,) = answers(host_of(server), base, asking("hi"), Decoding(beams=1, max_new_tokens=4))
    assert (answer.text, answer.finished, answer.tokens) == ("from", False, 4)


def test_each_sample_has_a_seed_that_depends_on_nothing_but_itself(server: FakeVllm, tmp_path: Path) -> None:
    base = model_in(tmp_path / "base", Weights.BASE)
    host = host_of(server)
    prompts = [Prompt(id="p", messages=asking("hi")[0].messages, sample=sample) for sample in range(3)]
    answers(host, base, prompts, SAMPLED)
    answers(host, base, prompts[1:2], SAMPLED)
    seeds = [body["seed"] for body in server.asked]
    assert len(set(seeds)) == 3
    assert seed_of(KEY, "p", 1) == seeds[3]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(SamplingKey(seed=4, stage="labels", round=1), "p", 1) not in seeds


def test_answers_come_in_the_order_of_the_prompts_and_done_ones_are_not_asked(server: FakeVllm, tmp_path: Path) -> None:
    server.rule = lambda says, prompt, body: prompt.upper()
    found = answers(
        host_of(server), model_in(tmp_path / "b", Weights.BASE), asking(*"abcdefghij"), done=frozenset({"p3"})
    )
    assert [answer.text for answer in found] == list("ABCEFGHIJ")
    assert len(server.asked) == 9


def test_scores_sum_over_the_answer_and_its_end(server: FakeVllm, tmp_path: Path) -> None:
    host, base = host_of(server), model_in(tmp_path / "base", Weights.BASE)
    found = scores(host, base, "AB", "C")
    # 65 and 66 and the end, which is token 0; a token's log-probability is minus its number divided by 100.
    assert [score.value for score in found] == [pytest.approx(-1.31), pytest.approx(-0.67)]
    assert [score.tokens for score in found] == [3, 2]
    assert {body["prompt_logprobs"] for body in server.asked} == {0}


def test_what_does_not_fit_is_found_before_anything_is_sent(server: FakeVllm, tmp_path: Path) -> None:
    host, base = host_of(server), model_in(tmp_path / "base", Weights.BASE)
    with pytest.raises(DataError, match="row p1: a prompt of 381 tokens and 20 new ones, but at most 400 fit"):
        answers(host, base, asking("hi", "x" * 381))
    with pytest.raises(DataError, match="row r1"):
        scores(host, base, "A", "x" * LIMIT)
    assert not server.asked
    assert host.fitting(base, rows("A", "x" * LIMIT)) == {"r0"}


def test_a_stale_adapter_is_never_served(server: FakeVllm, tmp_path: Path) -> None:
    host = host_of(server)
    first = model_in(tmp_path / "one", Weights.ADAPTER, "the first", "a" * 64)
    second = model_in(tmp_path / "two", Weights.ADAPTER, "the second", "b" * 64)
    # Trained again with the same settings, but on another machine: the same fingerprint, other weights.
    again = model_in(tmp_path / "three", Weights.ADAPTER, "the third", "a" * 64)
    for model, text in ((first, "the first"), (second, "the second"), (again, "the third"), (first, "the first")):
        assert [one.text for one in answers(host, model, asking("hi"))] == [text]
    assert len(server.loaded) == 3
    assert {name[:64] for name in server.loaded} == {"a" * 64, "b" * 64}


def test_the_server_of_the_tests_is_stale_for_one_name(server: FakeVllm, tmp_path: Path) -> None:
    """The test above would find a client that gives every adapter the same name."""
    host = host_of(server)
    client = host.place.client()
    for name in ("one", "two"):
        folder = model_in(tmp_path / name, Weights.ADAPTER, f"says {name}").path
        client.load_adapter("same", folder)
    assert server.loaded == {"same": "says one"}


def test_a_checkpoint_is_an_adapter_of_its_own(server: FakeVllm, tmp_path: Path) -> None:
    host = host_of(server)
    model = model_in(tmp_path / "checkpoint-01", Weights.ADAPTER, "early", f"{'a' * 64}/checkpoint-01")
    assert [one.text for one in answers(host, model, asking("hi"))] == ["early"]
    (name,) = server.loaded
    assert name.startswith(f"{'a' * 64}-checkpoint-01-")


def test_a_restarted_server_gets_its_adapter_again(server: FakeVllm, tmp_path: Path) -> None:
    host = host_of(server)
    model = model_in(tmp_path / "one", Weights.ADAPTER, "the first")

    def restarts(body: Mapping[str, Any], count: int) -> None:
        if count == 3:
            server.loaded.clear()

    server.react = restarts
    assert [one.text for one in answers(host, model, asking(*"abcdefgh"))] == ["the first"] * 8
    assert server.loads.total() == 2  # four requests met the new server, and one of them loaded


def test_a_server_that_fails_for_a_moment_is_asked_again(server: FakeVllm, tmp_path: Path) -> None:
    server.react = lambda body, count: (0, "") if count % 3 == 1 else (503, "busy") if count % 3 == 2 else None
    base = model_in(tmp_path / "base", Weights.BASE)
    found = answers(host_of(server, retries=5, concurrency=1), base, asking(*"abc"))
    assert [one.text for one in found] == ["from the base"] * 3


def test_a_server_that_stays_away_loses_no_answer(server: FakeVllm, tmp_path: Path) -> None:
    gone = threading.Event()

    def react(body: Mapping[str, Any], count: int) -> tuple[int, Any] | None:
        if body["prompt"] == [ord("d")]:
            gone.set()
        return (503, "going away") if gone.is_set() else None

    server.react = react
    host, base = host_of(server, concurrency=1), model_in(tmp_path / "base", Weights.BASE)
    kept: list[Completion] = []
    batches = host.generate(base, asking(*"abcdef"), GREEDY, KEY, frozenset())
    with pytest.raises(BackendError, match=r"does not answer as asked \(HTTP 503: going away\)") as caught:
        kept.extend(answer for batch in batches for answer in batch)
    assert "run the same command again" in str(caught.value)
    assert [answer.id for answer in kept] == ["p0", "p1", "p2"]
    gone.clear()
    server.react = lambda body, count: None
    before = len(server.asked)
    rest = answers(host, base, asking(*"abcdef"), done=frozenset(answer.id for answer in kept))
    assert [answer.id for answer in rest] == ["p3", "p4", "p5"]
    assert len(server.asked) == before + 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "another"}, "the model 'another' answered, but 'base' was asked"),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 1}}, "the server read 3 tokens of a prompt of 2"),
        ({"choices": [{"text": "x", "finish_reason": "abort"}]}, "ended for the reason 'abort'"),
        ({"choices": []}, "no completion came"),
    ],
)
def test_a_wrong_reply_is_not_believed(server: FakeVllm, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    server.react = lambda body, count: (200, server.reply(body, [65, 0], "stop") | wrong)
    with pytest.raises(BackendError, match=said):
        answers(host_of(server), model_in(tmp_path / "base", Weights.BASE), asking("hi"))


def test_missing_log_probabilities_are_an_error(server: FakeVllm, tmp_path: Path) -> None:
    base = model_in(tmp_path / "base", Weights.BASE)
    server.react = lambda body, count: (200, server.reply(body, [65], "length"))
    with pytest.raises(BackendError, match="log-probabilities of 4 tokens were asked for, and none came"):
        scores(host_of(server), base, "A")
    others = [None, *({"7": {"logprob": -1.0}} for _ in range(3))]
    server.react = lambda body, count: (200, server.reply(body, [65], "length", prompt_logprobs=others))
    with pytest.raises(BackendError, match="the log-probability of token 65 at place 2 did not come"):
        scores(host_of(server), base, "A")


def test_tokens_and_the_reason_of_the_end_must_agree(server: FakeVllm, tmp_path: Path) -> None:
    server.react = lambda body, count: (200, server.reply(body, [65, 66], "stop"))
    with pytest.raises(BackendError, match="row p0: the server's tokens and its reason"):
        answers(host_of(server), model_in(tmp_path / "base", Weights.BASE), asking("hi"))


def test_a_server_without_the_model_or_with_another_version_is_refused(server: FakeVllm, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.strong\.serve\.model: .* does not have 'other'; it has 'base'"):
        host_of(server, model="other")
    host = host_of(server)
    assert host.identity == {"engine": "vllm", "version": "9.1.0"}
    server.version = "9.2.0"
    with pytest.raises(BackendError, match=r"vLLM 9\.2\.0 answers .* planned with 9\.1\.0"):
        answers(host, model_in(tmp_path / "base", Weights.BASE), asking("hi"))


def test_an_adapter_that_the_server_cannot_load_is_named(server: FakeVllm, tmp_path: Path) -> None:
    host, model = host_of(server), model_in(tmp_path / "one", Weights.ADAPTER, "x")
    server.post = lambda path, body: (404, {"error": {"message": "Not Found"}})
    with pytest.raises(BackendError, match=r"does not load the adapter .*VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
        answers(host, model, asking("hi"))


def test_another_server_answers_with_text_alone(server: FakeVllm, tmp_path: Path) -> None:
    host, base = host_of(server, engine="openai"), model_in(tmp_path / "base", Weights.BASE)
    (answer,) = answers(host, base, asking("hi"))
    assert (answer.text, answer.finished, answer.tokens) == ("from the base", True, 14)
    (body,) = server.asked
    assert body["stop"] == ["\0"]
    assert not {"top_k", "stop_token_ids", "return_token_ids", "prompt_logprobs"} & body.keys()
    assert host.identity == {"engine": "openai", "base_url": server.address, "model": "base"}
    assert (host.scores, host.takes_adapters) == (False, False)


def test_a_key_is_sent_and_shown_nowhere(
    server: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = server.key = "sk-secret-0123456789"
    monkeypatch.setenv("MY_KEY", key)
    host, base = host_of(server, api_key_env="MY_KEY"), model_in(tmp_path / "base", Weights.BASE)
    assert len(answers(host, base, asking("hi"))) == 1
    server.key = "sk-secret-another-key"
    monkeypatch.setattr(server, "open_pages", True)
    with pytest.raises(BurnishError) as caught:
        answers(host, base, asking("hi"))
    assert key not in f"{caught.value}{host.identity}{host.serve}{caplog.text}"
    assert key not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_a_key_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    serve = ServeConfig(engine="vllm", base_url="http://10.0.0.1/v1", model="m", api_key_env="MY_KEY")  # pyright: ignore[reportArgumentType] text
    with pytest.raises(ConfigError, match=r"serve\.api_key_env: the environment variable MY_KEY is not set"):
        CompletionClient(serve, "models.strong.serve", "http://10.0.0.1/v1", "m")


def test_results_come_in_order_and_few_wait() -> None:
    seen: list[int] = []
    slow = threading.Event()

    def work(job: int, pause: Any) -> int:
        seen.append(job)
        if job == 0:
            assert slow.wait(10)
        if job == AHEAD * 2 - 1:  # the last one that may wait for the first
            slow.set()
        return job * job

    assert list(in_order(range(30), work, 2)) == [n * n for n in range(30)]
    assert sorted(seen) == list(range(30))


def test_a_failure_ends_the_work_after_what_is_under_way() -> None:
    failed = threading.Event()

    def work(job: int, pause: Any) -> int:
        if job == 1:
            failed.set()
            raise BackendError("gone")
        assert failed.wait(10)
        return job

    found: list[int] = []
    with pytest.raises(BackendError, match="gone"):
        found.extend(in_order(range(100), work, 3))
    assert found[0] == 0
    assert 1 not in found
    assert len(found) < 20
