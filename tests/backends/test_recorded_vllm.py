"""A conversation with a real vLLM, which `make vllm` recorded, is replayed to burnish's client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from serving import FakeVllm

from burnish.backends.render import Tokens
from burnish.backends.served import host
from burnish.backends.served.host import ServedModel
from burnish.backends.served.place import GivenServer
from burnish.config import Decoding, ModelConfig, ServeConfig
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import SamplingKey
from burnish.types import Artifact, Completion, Message, Prompt, Role, TrainingRow

TALK: dict[str, Any] = json.loads((Path(__file__).parent.parent / "fixtures" / "vllm-conversation.json").read_text())
KEY = SamplingKey(seed=0, stage="check", round=0)
"""The key with which the conversation was recorded (benchmarks/vllm_check.py)."""


class Replay(FakeVllm):
    """Answers a request as the real server did. A request that was not recorded fails the test."""

    def get(self, path: str) -> tuple[int, Any]:
        return self._recorded("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        self.asked.append(body)
        # The folder of the adapter is another one.
        told = {name: TALK["folder"] if name == "lora_path" else value for name, value in body.items()}
        return self._recorded("POST", path, told)

    def _recorded(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, Any]:
        for line in TALK["lines"]:
            if (line["method"], line["path"], line["body"]) == (method, path, body):
                return line["status"], line["reply"]
        return 400, {"error": {"message": f"never asked: {method} {path} {json.dumps(body)}"}}


class Recorded:
    """Turns the recorded prompts and answers into tokens and back, as SmolLM2's tokenizer did."""

    ends: Sequence[int] = TALK["ends"]

    def prompt(self, messages: Sequence[Message], row: str = "") -> list[int]:
        return next(one["ids"] for one in TALK["prompts"] if one["text"] == messages[0].content)

    def row(self, row: TrainingRow, max_tokens: int) -> Tokens:
        prompt = self.prompt(row.prompt)
        assert row.completion == TALK["completion"]["text"]
        return Tokens([*prompt, *TALK["completion"]["ids"], TALK["end"]], len(prompt))

    def text(self, ids: Sequence[int]) -> str:
        """Return the text that the server gave for these tokens, with or without an end."""
        choices = [line["reply"]["choices"][0] for line in TALK["lines"] if line["path"] == "/v1/completions"]
        known = {tuple(one["token_ids"]): str(one["text"]) for one in choices if "token_ids" in one}
        possible = [tuple(ids), *((*ids, end) for end in self.ends)]
        return next(known[tokens] for tokens in possible if tokens in known).strip()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedModel]:
    def renderer(self: object) -> Recorded:
        return Recorded()

    def positions(self: object) -> int:
        return 8192

    def name(model: Artifact) -> str:
        return TALK["adapter"]["name"]

    monkeypatch.setattr(ServedModel, "_renderer", renderer)
    monkeypatch.setattr(ServedModel, "positions", positions)
    monkeypatch.setattr(host, "adapter_name", name)
    with Replay() as server:
        serve = ServeConfig.model_validate(server.settings(retries=0))
        place = GivenServer(serve, "serve", "")
        place.look()
        yield ServedModel(ModelConfig(source="m", serve=serve), place)


def model_of(part: Mapping[str, Any], where: Path) -> Artifact:
    weights = Weights(part["model"])
    write_card(where, ModelCard(base=ModelConfig(source="m"), content="c", weights=weights))
    (where / "adapter_config.json").write_text('{"r": 8, "target_modules": ["q_proj"]}')
    return Artifact(path=str(where), kind="train", fingerprint=TALK["adapter"]["fingerprint"])


def test_the_engine_is_the_one_that_was_recorded(served: ServedModel) -> None:
    assert served.identity["engine"] == "vllm"
    assert str(served.identity["version"]).count(".") == 2
    assert served.place.limit(10**9) == 512


@pytest.mark.parametrize("part", [part for part in TALK["parts"] if "answers" in part], ids=str)
def test_recorded_answers_are_read_again(served: ServedModel, tmp_path: Path, part: Mapping[str, Any]) -> None:
    prompts = [Prompt(id=p["id"], messages=(Message(role=Role.USER, content=p["text"]),)) for p in TALK["prompts"]]
    decode = Decoding.model_validate(part["decode"])
    batches = served.generate(model_of(part, tmp_path), prompts, decode, KEY, frozenset())
    assert [one for batch in batches for one in batch] == [Completion(**one) for one in part["answers"].values()]


@pytest.mark.parametrize("part", [part for part in TALK["parts"] if "scores" in part], ids=str)
def test_recorded_log_probabilities_are_read_again(
    served: ServedModel, tmp_path: Path, part: Mapping[str, Any]
) -> None:
    rows = [
        TrainingRow(
            id=p["id"], prompt=(Message(role=Role.USER, content=p["text"]),), completion=TALK["completion"]["text"]
        )
        for p in TALK["prompts"]
    ]
    found = {
        score.id: [score.value, score.tokens]
        for batch in served.logprobs(model_of(part, tmp_path), rows, frozenset())
        for score in batch
    }
    assert found == part["scores"]


def test_the_adapter_and_the_base_say_different_things() -> None:
    greedy = [part for part in TALK["parts"] if "answers" in part and part["decode"]["temperature"] == 0]
    base, adapter = ([one["text"] for one in part["answers"].values()] for part in greedy)
    assert base != adapter
