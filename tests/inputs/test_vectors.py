"""Vectors of texts from a server and from a model on this machine, for similar prompts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from servers import FaultServer

from burnish.config import EmbeddingDiffers, EmbeddingServerDiffers, Execution
from burnish.errors import ConfigError
from burnish.inputs.distances import embedded_by

pytest.importorskip("openai")

PLANE = {"east": [2.0, 0.0], "north": [0.0, 0.5], " ": [3.0, 4.0]}
TEXTS = ["east", "north", "", "east"]
UNIT = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]


def test_a_server_gives_unit_vectors_and_gets_each_text_once() -> None:
    with FaultServer(vector=lambda text: PLANE[text]) as running:
        config = EmbeddingServerDiffers(
            kind="embedding_server", base_url=running.address, model="test", api_key_env=None, batch_size=2
        )
        found = embedded_by(config, Execution())
        assert found.vectors(TEXTS) == pytest.approx(np.array(UNIT))
        assert running.texts() == {"east": 1, "north": 1, " ": 1}
    assert found.config == {"kind": "embedding_server", "base_url": running.address, "model": "test"}
    assert found.outside


def test_a_local_model_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoder:
        def __init__(self, model: str, **ways: Any) -> None:
            assert (model, ways["device"]) == (str(tmp_path), "cpu")

        def encode(self, texts: Sequence[str], *, batch_size: int, normalize_embeddings: bool, **_: Any) -> Any:
            assert normalize_embeddings
            return np.array([UNIT[TEXTS.index(text)] for text in texts], dtype=np.float32)

    module = ModuleType("sentence_transformers")
    module.__spec__ = SimpleNamespace()  # type: ignore[assignment]
    module.__dict__["SentenceTransformer"] = Encoder
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    (tmp_path / "modules.json").write_text("[]")
    found = embedded_by(EmbeddingDiffers(kind="embedding", model=str(tmp_path)), Execution(device="cpu"))
    assert found.vectors(TEXTS) == pytest.approx(np.array(UNIT))
    assert (found.config, [one.kind for one in found.inputs.values()]) == ({"kind": "embedding"}, ["content"])
    (tmp_path / "plain").mkdir()
    with pytest.raises(ConfigError, match="no sentence-transformers model"):
        embedded_by(EmbeddingDiffers(kind="embedding", model=str(tmp_path / "plain")), Execution())
