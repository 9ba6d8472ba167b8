"""Distances from a server of embeddings: what is sent, what comes back, what is retried, what stops."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from servers import Fault, FaultServer, Reaction, Refuse

from burnish.config import (
    AnswerDiffers,
    CommandDiffers,
    EmbeddingDiffers,
    EmbeddingServerDiffers,
    Execution,
    NumberDiffers,
    TextDiffers,
)
from burnish.errors import AnnotatorError, ConfigError
from burnish.inputs.distances import differing_of, embedder_of
from burnish.services import endpoint
from burnish.services.embeddings import EmbeddingServer, batches, unit_vectors
from burnish.steps.setting import Differing, TextPair
from burnish.types import Artifact

pytest.importorskip("openai")

SECRET = "sk-very-secret-0123456789"
PLANE: Mapping[str, Sequence[float]] = {
    "east": [2.0, 0.0],
    "north": [0.0, 0.5],
    "north-east": [3.0, 3.0],
    "west": [-1.0, 0.0],
    " ": [1.0, 1.0],
}
PAIRS = [("east", "north"), ("east", "north-east"), ("west", "east"), ("north", "north")]
FAR = [1.0, 1 - math.sqrt(0.5), 2.0, 0.0]
"""1 - cos of 90, 45, 180 and 0 degrees."""


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


class Silent:
    """A bar that nobody sees."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def start(self, label: str, total: int, done: int = 0) -> None:
        self.total, self.done = total, 0

    def advance(self, amount: int) -> None:
        self.done += amount


def differs(address: str, **settings: Any) -> EmbeddingServerDiffers:
    given: dict[str, Any] = {"api_key_env": None, "timeout": 10.0, "model": "test", **settings}
    return EmbeddingServerDiffers(kind="embedding_server", base_url=address, **given)


def measured(address: str, pairs: Sequence[tuple[str, str]] = PAIRS, **settings: Any) -> list[float]:
    found = EmbeddingServer(differs(address, **settings)).distances(pairs)
    return [value for batch in found for value in batch]


def plane(**settings: Any) -> FaultServer:
    return FaultServer(vector=lambda text: PLANE[text], **settings)


def at_first(count: int, status: int, body: str) -> Refuse:
    """Answer the first `count` requests in the server's place."""
    asked: list[int] = []

    def refuse(_: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        asked.append(1)
        return (status, body) if len(asked) <= count else None

    return refuse


def body_of(*vectors: Any) -> str:
    return json.dumps({"data": [{"embedding": vector, "index": place} for place, vector in enumerate(vectors)]})


# --- distances


@pytest.mark.parametrize("size", [1, 2, 3, 64])
def test_distances_by_hand_whatever_the_batches(size: int) -> None:
    with plane() as running:
        assert measured(running.address, batch_size=size) == pytest.approx(FAR, abs=1e-12)
        assert max(len(body["input"]) for body in running.bodies.values()) <= size
        assert all(body["model"] == "test" for body in running.bodies.values())
        assert sum(running.asked.values()) == {1: 7, 2: 4, 3: 2, 64: 1}[size]


def test_equal_texts_of_a_batch_are_sent_once() -> None:
    with plane() as running:
        assert measured(running.address, [("east", "north")] * 50 + [("north", "east")] * 50) == [1.0] * 100
        assert running.texts() == {"east": 1, "north": 1}


def test_pairs_are_batched_in_order_by_their_different_texts() -> None:
    pairs = [("a", "b"), ("b", "a"), ("a", "c"), ("d", "d"), ("e", "f"), ("g", "h")]
    assert list(batches(pairs, 3)) == [pairs[:3], pairs[3:5], pairs[5:]]
    assert list(batches(pairs, 1)) == [[pair] for pair in pairs]
    assert list(batches([], 3)) == []


def test_a_blank_text_is_sent_as_a_space() -> None:
    def no_empty_ones(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        return (400, '{"error": {"message": "\'$.input\' is invalid"}}') if "" in body["input"] else None

    with plane(refuse=no_empty_ones) as running:
        blank = [("", "east"), (" \n", "north-east"), ("", "\t")]
        assert measured(running.address, blank) == pytest.approx([1 - math.sqrt(0.5), 0.0, 0.0], abs=1e-12)
        assert running.texts() == {" ": 1, "east": 1, "north-east": 1}


def test_nothing_to_measure_asks_nobody() -> None:
    assert measured("http://127.0.0.1:9/v1", []) == []


def test_vectors_are_read_in_the_order_of_their_indexes_or_as_they_come() -> None:
    rows = [{"embedding": [0, 2], "index": 1}, {"embedding": [3, 4], "index": 0}]
    assert unit_vectors(json.dumps({"data": rows}), 2, None).tolist() == [[0.6, 0.8], [0.0, 1.0]]
    unnumbered = [{"embedding": row["embedding"]} for row in rows]
    assert unit_vectors(json.dumps({"data": unnumbered}), 2, 2).tolist() == [[0.0, 1.0], [0.6, 0.8]]


# --- what is tried again


@pytest.mark.slow
@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_is_tried_again_until_the_distances_are_there(fault: Fault) -> None:
    with plane(faults=0.5, seed=3, kinds=(fault,)) as running:
        timeout = 0.2 if fault is Fault.TIMEOUT else 10.0
        found = measured(running.address, PAIRS * 2, batch_size=2, retries=30, timeout=timeout)
        assert found == pytest.approx(FAR * 2, abs=1e-12)
        assert running.faulty[fault] >= 2


GARBAGE = {
    "no json": ("<html>", "no embeddings came back: '<html>'"),
    "no data": ('{"object": "list"}', "no embeddings came back: .*object"),
    "an error": ('{"error": {"message": "out of memory"}}', "no embeddings came back: .*out of memory"),
    "base64": (body_of("AACAPw==", "AACAPw=="), "no embeddings came back: "),
    "too few": (body_of([1, 2]), "1 vectors came back for 2 texts"),
    "too many": (body_of([1, 2], [1, 2], [1, 2]), "3 vectors came back for 2 texts"),
    "an index twice": (
        '{"data": [{"embedding": [1], "index": 0}, {"embedding": [2], "index": 0}]}',
        r"vectors with the indexes \[0, 0\] came back for 2 texts",
    ),
    "ragged": (body_of([1, 2], [1, 2, 3]), "vectors of different length came back: of 2 and of 3 numbers"),
    "zeros": (body_of([1, 2], [0, 0]), "a vector of zeros, or one that is not finite, came back"),
    "empty": (body_of([], []), "a vector of zeros, or one that is not finite, came back"),
    "nan": ('{"data": [{"embedding": [NaN]}, {"embedding": [1]}]}', "not finite"),
    "infinite": ('{"data": [{"embedding": [1e999]}, {"embedding": [1]}]}', "not finite"),
    "huge": (body_of([1e308, 1e308], [1, 1]), "not finite"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_no_answer(name: str) -> None:
    body, words = GARBAGE[name]
    with plane(refuse=at_first(2, 200, body)) as running:
        assert measured(running.address, PAIRS[:1], retries=2) == [1.0]
        assert sum(running.asked.values()) == 3
    with plane(refuse=at_first(9, 200, body)) as running:
        message = rf"differs\.base_url: {running.address} gives no embeddings \(.*{words}.*\), also after 2 retries;"
        with pytest.raises(AnnotatorError, match=f"{message} check the server or correct .*what was measured is kept"):
            measured(running.address, PAIRS[:1], retries=2)
        assert sum(running.asked.values()) == 3


def test_vectors_that_change_their_length_between_requests_are_garbage() -> None:
    with FaultServer(vector=lambda text: [1.0] * len(text)) as running:
        with pytest.raises(AnnotatorError, match="vectors of different length came back: of 3 and of 4 numbers"):
            measured(running.address, [("abc", "abcd")], batch_size=1, retries=1)
        assert sum(running.asked.values()) == 3  # abc, and abcd twice


# --- what stops


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (
            401,
            "no",
            r"differs\.api_key_env: http.* refuses access to 'test' \(HTTP 401: no\); correct the key",
        ),
        (403, "no", r"differs\.api_key_env: "),
        (404, "no model", r"differs\.model: http.* does not know 'test' \(HTTP 404: no model\); correct the model, or"),
        (402, "pay", r"differs: http.* does not serve 'test' without credit \(HTTP 402: pay\); add credit"),
        (429, '{"error": {"message": "no", "code": "insufficient_quota"}}', "does not serve .* without credit"),
        (
            400,
            "no input",
            r"differs\.model: .* refuses what 'test' is sent \(HTTP 400: no input\); .*batch_size",
        ),
        (400, "maximum context length is 10 tokens", r"differs\.model: 'test' at .* does not take such a long text"),
    ],
)
def test_what_every_request_would_get_stops_at_once(status: int, text: str, words: str) -> None:
    with plane(refuse=at_first(9, status, text)) as running:
        with pytest.raises(AnnotatorError, match=f"{words}.*; what was measured is kept"):
            measured(running.address)
        assert sum(running.asked.values()) == 1


def test_a_server_that_only_fails_stops_after_its_retries() -> None:
    with plane(faults=1.0, kinds=(Fault.BROKEN,)) as running:
        with pytest.raises(AnnotatorError, match=r"gives no embeddings \(HTTP 500: .*\), also after 3 retries"):
            measured(running.address, retries=3)
        assert sum(running.asked.values()) == 4


def test_a_server_that_is_not_there() -> None:
    with FaultServer() as gone:
        address = gone.address
    with pytest.raises(AnnotatorError, match=rf"differs\.base_url: {address} does not answer \(.*refused.*\); start"):
        measured(address)


def test_another_path_is_no_server_of_embeddings() -> None:
    with plane() as running, pytest.raises(AnnotatorError, match=r"differs\.model: .*, which often ends in /v1"):
        measured(running.address.removesuffix("/v1"))


# --- the key


def test_the_key_is_sent_and_no_error_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_KEY", SECRET)
    seen: set[str] = set()

    def echo(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction:
        seen.add(headers["authorization"])
        return statuses.pop(), f'{{"message": "Bearer {SECRET}"}}'

    statuses = [200, 401]
    with FaultServer(refuse=echo) as running:
        for words in ("refuses access .*EMBED_KEY", "no embeddings came back: .*message"):
            with pytest.raises(AnnotatorError, match=words) as caught:
                measured(running.address, api_key_env="EMBED_KEY", retries=0)
            assert "sk-very" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert seen == {f"Bearer {SECRET}"}


def test_a_missing_key_or_library_is_found_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBED_KEY", raising=False)
    remote = differs("https://embed.invalid/v1", api_key_env="EMBED_KEY")
    with pytest.raises(ConfigError, match=r"differs\.api_key_env: the environment variable EMBED_KEY is not set"):
        embedder_of(remote, offline_ok=False)
    assert embedder_of(remote, offline_ok=True) is None  # a dry run needs no key
    with pytest.raises(ConfigError, match=r"differs\.base_url: 'http://\[v1\.x\]/v1' is not an address"):
        embedder_of(differs("http://[v1.x]/v1"), offline_ok=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(AnnotatorError, match=r"differs: a server is asked through .* 'burnish\[judge\]'"):
        embedder_of(differs("http://localhost:1/v1"), offline_ok=False)


# --- the differing of a run


def differing(config: Any, embedder: Artifact | None = None) -> Differing:
    found = differing_of(config, embedder, Execution(), Silent())
    assert found is not None
    return found


def text_pairs(pairs: Sequence[tuple[str, str]]) -> list[TextPair]:
    return [TextPair(id=f"{i:02d}", prompt=(), current=a, proposal=b) for i, (a, b) in enumerate(pairs)]


def test_where_answers_are_looked_at_nothing_is_measured() -> None:
    for config in (AnswerDiffers(), TextDiffers(), NumberDiffers(kind="number")):
        assert embedder_of(config, offline_ok=False) is None
        assert differing_of(config, None, Execution(), Silent()) is None
    command = CommandDiffers(kind="command", command=("cat",))
    assert embedder_of(command, offline_ok=False) is None
    assert differing(command).share is None


def test_a_server_is_known_by_address_and_model_alone() -> None:
    plain = differing(differs("http://localhost:1/v1", share=0.3))
    assert plain.config == {"kind": "embedding_server", "base_url": "http://localhost:1/v1", "model": "test"}
    assert (plain.inputs, plain.share) == ({}, 0.3)
    ways = {"timeout": 1.0, "retries": 1, "batch_size": 1, "api_key_env": "OTHER"}
    assert differing(differs("http://localhost:1/v1", **ways)).config == plain.config


def test_a_local_model_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[]")
    config = EmbeddingDiffers(kind="embedding", model=str(tmp_path))
    embedder = embedder_of(config, offline_ok=False)
    assert embedder is not None
    assert embedder.kind == "content"
    found = differing(config, embedder)
    assert (found.config, found.inputs, found.share) == ({"kind": "embedding"}, {"embedder": embedder}, 0.5)


def test_a_hub_model_is_loaded_at_the_commit_that_it_is_known_by(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, dict[str, Any]]] = []

    class Encoder:
        def __init__(self, model: str, **ways: Any) -> None:
            loaded.append((model, ways))

        def encode(self, texts: Sequence[str], **ways: Any) -> np.ndarray[Any, Any]:
            return np.array([PLANE[text] for text in texts]) / [[np.linalg.norm(PLANE[text])] for text in texts]

    module = ModuleType("sentence_transformers")
    module.__spec__ = SimpleNamespace()  # type: ignore[assignment]
    module.__dict__["SentenceTransformer"] = Encoder
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    hub = Artifact(path="owner/name", kind="hub", fingerprint="hub:0123abc")
    found = differing(EmbeddingDiffers(kind="embedding", model="owner/name"), hub)
    (batch,) = found.measure(text_pairs(PAIRS))
    assert [score.value for score in batch] == pytest.approx(FAR, abs=1e-12)
    assert loaded == [("owner/name", {"revision": "0123abc", "device": None})]


def test_distances_come_with_their_ids_and_move_the_bar() -> None:
    bar = Silent()
    with plane() as running:
        found = differing_of(differs(running.address, batch_size=2), None, Execution(), bar)
        assert found is not None
        units = list(found.measure(text_pairs(PAIRS)))
    assert [[score.id for score in unit] for unit in units] == [["00"], ["01"], ["02"], ["03"]]
    assert [unit[0].value for unit in units] == pytest.approx(FAR, abs=1e-12)
    assert (bar.done, bar.total) == (4, 4)
