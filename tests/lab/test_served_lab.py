"""Experiments in which a server answers and scores: what is planned, refused, computed, and what identifies it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import experiment
import pytest
from pydantic import TypeAdapter
from serving import WEIGHTS, FakeVllm, play

from burnish.backends.fake import SKILL, FakeBackend
from burnish.config import Config
from burnish.errors import BackendError, BurnishError, ConfigError
from burnish.lab.inputs import ExperimentInputs, resolve
from burnish.lab.planned_experiment import planned
from burnish.lab.running import run
from burnish.models.card import Weights, read_card, write_card
from burnish.services import endpoint
from burnish.store.runners import StageRecord
from burnish.store.stages import Store
from burnish.types import Artifact, short_hash

ILR = [{"kind": "ilr", "rounds": 1, "alpha": 0.15}]
ORACLE = {"annotator": {"kind": "oracle"}}
LORA = {"lora": {"r": 8, "alpha": 16}}


class Adapting(FakeBackend):
    """Trains adapters. The weights of an adapter are its skill, as text."""

    def _write(self, model: Artifact, into: Path, skill: float) -> None:
        super()._write(model, into, skill)
        write_card(into, read_card(into).model_copy(update={"weights": Weights.ADAPTER}))
        (into / "adapter_config.json").write_text(json.dumps({"r": 8, "target_modules": ["q_proj"]}))
        (into / WEIGHTS).write_text((into / SKILL).read_text())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVllm]:
    play(monkeypatch)
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)
    gold = experiment.gold()

    def right_by_skill(says: str, prompt: str, body: Mapping[str, Any]) -> str:
        knows = int(short_hash(prompt, says), 16) / 2**64 < float(says)
        return f"#### {gold[prompt] if knows else int(gold[prompt]) + 1}"

    with FakeVllm(rule=right_by_skill) as running:
        yield running


def served(server: FakeVllm | None, serve: Mapping[str, Any] | None = None, **changes: Any) -> Config:
    settings = serve if server is None else server.settings(**(serve or {}))
    strong = {"source": "builtin:strong", "serve": settings}
    models = {"weak": "builtin:weak", "strong": strong}
    return experiment.small(**{"models": models, "methods": ILR, "train": LORA, **changes})


def stages(config: Config, where: Path) -> list[StageRecord]:
    return planned(config, resolve(config, offline_ok=True), Store(where / "plan"))


def by_name(records: list[StageRecord], name: str) -> dict[str, StageRecord]:
    return {record.stage.label: record for record in records if record.stage.name == name}


def test_the_engine_is_part_of_what_a_served_model_answers_and_of_nothing_else(
    server: FakeVllm, tmp_path: Path
) -> None:
    here, there = stages(served(None), tmp_path), stages(served(server), tmp_path)
    same = {record.fingerprint for record in here} & {record.fingerprint for record in there}
    # The supervisor is not served, so that the first training of the student is shared.
    shared = [record for record in there if record.fingerprint in same]
    assert {record.stage.name for record in shared} >= {"base", "data", "train", "answer", "classifier"} - {
        "classifier"
    }
    engines = [record.stage.config.get("engine") for record in by_name(there, "answer").values()]
    assert {"engine": "vllm", "version": "9.1.0"} in engines
    assert None in engines  # the supervisor's labels
    assert not [record for record in here if "engine" in record.stage.config]
    assert not [r for r in there if r.stage.name not in {"answer", "score"} and "engine" in r.stage.config]


def test_a_newer_server_is_another_engine(server: FakeVllm, tmp_path: Path) -> None:
    before = {record.fingerprint for record in stages(served(server), tmp_path)}
    server.version = "9.2.0"
    assert not before >= {record.fingerprint for record in stages(served(server), tmp_path)}
    # The address is not: the same server may listen elsewhere tomorrow.
    with FakeVllm(version="9.2.0") as other:
        ours, theirs = (stages(served(one), tmp_path) for one in (server, other))
    assert [record.fingerprint for record in ours] == [record.fingerprint for record in theirs]


@pytest.mark.slow
def test_a_run_is_answered_by_the_server_and_goes_on_after_a_fault(server: FakeVllm, tmp_path: Path) -> None:
    config, units = served(server), list[str]()
    backend = Adapting(experiment.gold(), units.append)

    def go(where: str) -> Any:
        return run(config, out=tmp_path / where, store=tmp_path / f"{where}-store", backend=lambda: backend)

    whole = go("whole")
    asked = len(server.asked)
    # Labels of half U come from the supervisor in this process: 40 rows in 3 batches, and 30 test rows in 2.
    assert units.count("generate") == 5
    assert len(server.loaded) == len(server.loads)  # no name was loaded twice
    server.asked.clear()
    server.react = lambda body, count: (503, "gone") if asked // 2 <= count < asked // 2 + 50 else None
    with pytest.raises(BackendError, match=r"models\.strong\.serve"):
        go("broken")
    server.react = lambda body, count: None
    again = go("broken")
    assert again.results == whole.results
    assert len(server.asked) < asked + 50


@pytest.mark.parametrize(
    ("serve", "changes", "said"),
    [
        ({}, {"decode": {"beams": 4, "max_new_tokens": 8}}, r"decode\.beams: 4 found with models\.strong\.serve"),
        ({}, {"train": {"lora": None}}, r"models\.strong\.serve: a model of which all weights are trained"),
        ({"engine": "openai"}, {}, r"models\.strong\.serve\.engine: openai found, but a trained model must answer"),
    ],
)
def test_what_a_server_cannot_do_is_refused_before_anything_is_spent(
    server: FakeVllm, tmp_path: Path, serve: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    units: list[str] = []
    backend = experiment.fake(units.append)
    with pytest.raises(ConfigError, match=said):
        run(served(server, serve, **changes), out=tmp_path, store=tmp_path / "store", backend=lambda: backend)
    assert not units
    assert not server.asked


def test_log_probabilities_of_another_server_are_refused(server: FakeVllm, tmp_path: Path) -> None:
    model = {"source": "builtin:judge-3", "serve": server.settings(engine="openai")}
    config = experiment.small(judge={"kind": "likelihood", "model": model}, methods=ILR, supervision=ORACLE)
    with pytest.raises(ConfigError, match=r"judge\.model\.serve\.engine: openai found, but log-probabilities"):
        stages(config, tmp_path)


def test_a_served_judge_scores_on_the_server(server: FakeVllm, tmp_path: Path) -> None:
    model = {"source": "builtin:judge-3", "serve": server.settings()}
    judge = {"kind": "likelihood", "model": model}
    config = experiment.small(judge=judge, methods=[{"kind": "sft"}], supervision=ORACLE)
    experiment.run_small(config, tmp_path)
    assert server.asked
    assert all("prompt_logprobs" in body for body in server.asked)
    judged = by_name(stages(config, tmp_path), "judge").values()
    assert "engine" in json.dumps([record.stage.config for record in judged], default=dict)


def test_one_model_has_one_way_to_answer(server: FakeVllm, tmp_path: Path) -> None:
    strong = {"source": "builtin:weak", "serve": server.settings()}
    config = served(server, models={"weak": "builtin:weak", "strong": strong})
    with pytest.raises(ConfigError, match=r"models\.weak\.serve: models\.strong and models\.weak name the same model"):
        stages(config, tmp_path)


def test_it_is_said_what_a_server_on_another_machine_gets(server: FakeVllm, tmp_path: Path) -> None:
    assert resolve(served(server), offline_ok=True).models.sent() == ()
    there = served(None, {"engine": "vllm", "base_url": "http://no-such-host.invalid/v1", "model": "m"})
    (line,) = resolve(there, offline_ok=True).models.sent()
    assert line.startswith(
        "sent to no-such-host.invalid, which is not on this machine (models.strong.serve): all prompts"
    )


def test_a_worker_process_plans_the_same_stages(server: FakeVllm, tmp_path: Path) -> None:
    config, carrier = served(server), TypeAdapter(ExperimentInputs)
    inputs = resolve(config, offline_ok=False)
    sent = carrier.validate_json(carrier.dump_json(inputs))
    here, there = (planned(config, one, Store(tmp_path)) for one in (inputs, sent))
    assert [record.fingerprint for record in here] == [record.fingerprint for record in there]
    # One process has one object for a model, so that a server that it starts goes on from seed to seed.
    assert sent.models.hosts == inputs.models.hosts
    assert len(sent.models.hosts) == 1


def test_each_worker_would_start_a_server(tmp_path: Path) -> None:
    serve = {"engine": "vllm", "environment": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"serve\.environment: found with execution\.workers: 2"):
        stages(served(None, serve, execution={"workers": 2}), tmp_path)


def test_a_dry_run_says_that_a_server_does_not_answer() -> None:
    gone = served(None, {"engine": "vllm", "base_url": "http://127.0.0.1:9/v1", "model": "m"})
    assert resolve(gone, offline_ok=True).unresolved == ["http://127.0.0.1:9/v1"]
    with pytest.raises(BackendError, match=r"models\.strong\.serve\.base_url: .* does not answer"):
        resolve(gone, offline_ok=False)


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ({"engine": "vllm"}, "base_url and environment: neither is given"),
        ({"engine": "vllm", "base_url": "http://x/v1", "environment": "e", "model": "m"}, "both are given"),
        ({"engine": "vllm", "base_url": "http://x/v1"}, "model: none is given"),
        ({"engine": "openai", "environment": "e"}, "burnish starts only vllm"),
        ({"engine": "vllm", "environment": "e", "model": "m"}, "model: found with environment"),
        ({"engine": "vllm", "environment": "e", "arguments": ["--api-key=x"]}, "arguments: --api-key cannot be set"),
        ({"engine": "vllm", "base_url": "http://x/v1", "model": "m", "arguments": ["-q"]}, "does not start this"),
        ({"engine": "vllm", "base_url": "http://a:b@x/v1", "model": "m"}, "must hold no name or password"),
    ],
)
def test_settings_that_contradict_each_other(serve: dict[str, Any], said: str) -> None:
    with pytest.raises((BurnishError, ValueError), match=said):
        served(None, serve)


def test_settings_of_the_model_that_a_server_does_not_use(server: FakeVllm) -> None:
    for setting in ({"adapter": "continue"}, {"merged_dtype": "float32"}):
        strong = {"source": "builtin:strong", "serve": server.settings(), **setting}
        with pytest.raises(ValueError, match=next(iter(setting))):
            served(server, models={"weak": "builtin:weak", "strong": strong})
