"""The model that a refinement delivers: merged where asked, its base named where it is now, a command that tries it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from refinement import RIGHT, Refined, refine, settings, written

from burnish.backends.fake import FakeBackend
from burnish.config import RefineConfig
from burnish.errors import ConfigError
from burnish.models.location import EMBEDDED, TRY_IT
from burnish.refinery import refining
from burnish.refinery.refining import FinishedRefinement, RunOptions, refine_data
from burnish.refinery.words import closing
from burnish.store import known_hashes
from burnish.store.bucket import Bucket
from burnish.store.object_store import ObjectStore
from burnish.types import Artifact


class Adapts(FakeBackend):
    """Delivers an adapter, with the program that tries it."""

    def __init__(self) -> None:
        super().__init__(RIGHT)
        self.exports: list[bool] = []

    def export(self, model: Artifact, into: Path, merge: bool = False) -> None:
        self.exports.append(merge)
        super().export(model, into)
        if not merge:
            (into / "adapter_config.json").write_text('{"base_model_name_or_path": "models/a", "r": 4}')
        (into / TRY_IT).write_text("print('hello')\n")


def config(where: Path, model: Path, *, merge: bool = False) -> RefineConfig:
    changes = (f"model.source={model}", "model.dtype=float32")
    return settings(written(where), *changes, rounds=1, merge=merge)


def named(found: Refined) -> str:
    return str(json.loads((found.out / "model" / "adapter_config.json").read_text())["base_model_name_or_path"])


def test_the_base_is_named_by_its_absolute_path_and_anew_after_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EMBEDDED / "strong", "base")
    backend = Adapts()
    found = refine(config(tmp_path, Path("base")), tmp_path, backend)
    assert named(found) == str((tmp_path / "base").resolve())
    Path("base").rename("moved")
    found = refine(config(tmp_path, Path("moved")), tmp_path, backend)
    assert named(found) == str((tmp_path / "moved").resolve())
    assert backend.exports == [False]  # the model itself was there


@pytest.mark.slow
def test_merge_delivers_whole_weights_and_back(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED / "strong", tmp_path / "base")
    backend = Adapts()
    for merge in (False, True, True, False):
        found = refine(config(tmp_path, tmp_path / "base", merge=merge), tmp_path, backend)
        assert (found.out / "model" / "adapter_config.json").exists() != merge
        assert found.summary.config.merge is merge
    assert backend.exports == [False, True, False]


def test_hashes_of_weights_lie_in_the_cache_of_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in a folder `s3:` of the working directory."""
    pytest.importorskip("obstore")
    from obstore.store import MemoryStore

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(known_hashes, "SMALLEST", 1)
    monkeypatch.setattr(known_hashes, "SETTLED_NS", -(10**18))
    bucket = Bucket(MemoryStore(), "s3://bucket/x")

    def opened(place: Path) -> ObjectStore:
        assert place == Path("s3://bucket/x")
        return ObjectStore(bucket, tmp_path / "cache")

    monkeypatch.setattr(refining, "open_store", opened)
    shutil.copytree(EMBEDDED / "strong", tmp_path / "base")
    backend = FakeBackend(RIGHT)
    refine_data(
        config(tmp_path, tmp_path / "base"),
        RunOptions(out=tmp_path / "out", store=Path("s3://bucket/x"), backend=lambda: backend),
    )
    assert str(tmp_path / "base") in (tmp_path / "cache" / "hashes.json").read_text()
    assert not (tmp_path / "s3:").exists()


def test_the_end_names_a_command_that_tries_the_model(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED / "strong", tmp_path / "base")
    found = refine(config(tmp_path, tmp_path / "base"), tmp_path / "a place", Adapts())
    lines = list(closing(FinishedRefinement(out=found.out, summary=found.summary)))
    assert f"try it: python '{found.out / 'model' / TRY_IT}' 'your question'" in lines


def test_an_adapter_that_is_continued_needs_adapters(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.adapter: continue found, and train\.lora: null"):
        settings(written(tmp_path), "model.adapter=continue")
    with pytest.raises(ConfigError, match=r"model\.adapter: continue found, and train_proposers\.lora: null"):
        settings(written(tmp_path), "model.adapter=continue", "train.lora={r: 4}", "train_proposers={lora: null}")
