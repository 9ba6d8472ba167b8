"""Damaged models: each is an error that names the field and the file, before a model library looks at it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refinement import fake, refine, settings, written
from weights_files import gguf, safetensors

from burnish.config import DType, ModelConfig, RefineConfig
from burnish.errors import ConfigError
from burnish.models.card import ModelCard, Weights, write_card
from burnish.models.checks import check_files
from burnish.models.location import EMBEDDED
from burnish.refinery import RunOptions
from burnish.refinery.dry_run import dry_run
from burnish.store.stages import Store


def model(where: Path) -> Path:
    """Copy the smallest model that comes with burnish."""
    shutil.copytree(EMBEDDED / "strong", where)
    return where


def put_nan(folder: Path) -> None:
    safetensors(folder / "model.safetensors", "F32", np.array([1, np.nan], dtype="<f4").tobytes())


def cut(name: str, left: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:left])

    return change


def write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def far_pad(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["added_tokens"].append({"id": 9000, "content": "<pad!>", "special": True})
    path.write_text(json.dumps(values))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "<pad!>"}))


DAMAGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a list": (write("config.json", "[1, 2]"), "config.json", "holds a list and no JSON object"),
    "no JSON": (write("config.json", "{"), "config.json", "is no readable JSON"),
    "cut weights": (cut("model.safetensors", 200_000), "model.safetensors", "it is cut off: 200,000 bytes found"),
    "cut header": (cut("model.safetensors", 100), "model.safetensors", "it is no safetensors file, or it is cut off"),
    "empty weights": (cut("model.safetensors", 0), "model.safetensors", "it is no safetensors file"),
    "NaN": (put_nan, "model.safetensors", "the tensor 'w' holds NaN"),
    "tokenizer": (cut("tokenizer.json", 500), "tokenizer.json", "it is no readable JSON"),
    "tokenizer config": (write("tokenizer_config.json", "[]"), "tokenizer_config.json", "it holds a list and no JSON"),
    "generation config": (write("generation_config.json", "7"), "generation_config.json", "it holds a int and no JSON"),
    "missing shard": (
        write("model.safetensors.index.json", '{"weight_map": {"w": "model-00002-of-00002.safetensors"}}'),
        "model.safetensors.index.json",
        "it names 'model-00002-of-00002.safetensors', which is not there",
    ),
    "index": (
        write("model.safetensors.index.json", "null"),
        "model.safetensors.index.json",
        "it holds a NoneType and no JSON object",
    ),
    "no pickle": (
        write("pytorch_model.bin", "version https://git-lfs"),
        "pytorch_model.bin",
        "no file that torch wrote",
    ),
    "pad": (far_pad, "tokenizer_config.json", "pad_token '<pad!>' has the id 9000, but the embedding has 156 rows"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_named_before_anything_is_spent(tmp_path: Path, name: str) -> None:
    damage, file, words = DAMAGES[name]
    folder, units = model(tmp_path / "base"), list[str]()
    damage(folder)
    config = settings(written(tmp_path), f"model.source={folder}", "model.dtype=float32")
    run_options = RunOptions(out=tmp_path / "out", store=tmp_path / "store")
    for work in (lambda: dry_run(config, run_options), lambda: refine(config, tmp_path, fake(units.append))):
        with pytest.raises(ConfigError) as error:
            work()
        assert str(error.value).startswith("model: ")
        assert str(folder / file) in str(error.value)
        assert words in str(error.value)
    assert units == []
    assert list(Store(tmp_path / "store").every()) == []


ANNOTATORS: dict[str, dict[str, Any]] = {
    "annotator.model": {},
    "annotator.of.1.model": {"kind": "majority", "of": [{"kind": "people"}]},
}


@pytest.mark.parametrize("kind", ["classifier", "reward_model", "likelihood"])
@pytest.mark.parametrize("field", ANNOTATORS)
def test_the_models_of_annotators_are_looked_through(tmp_path: Path, kind: str, field: str) -> None:
    folder = model(tmp_path / "base")
    put_nan(folder)
    one = {"kind": kind, "model": {"source": str(folder), "dtype": "float32"}}
    whole = ANNOTATORS[field]
    annotator = whole | {"of": [*whole["of"], one]} if whole else one
    check_both(tmp_path, settings(written(tmp_path), annotator=annotator), field, folder / "model.safetensors", "NaN")


def check_both(where: Path, config: RefineConfig, field: str, file: Path, words: str) -> None:
    """Check that a dry run and a run name the field and the damaged file, and that nothing was computed."""
    units: list[str] = []
    run_options = RunOptions(out=where / "out", store=where / "store")
    for work in (lambda: dry_run(config, run_options), lambda: refine(config, where, fake(units.append))):
        with pytest.raises(ConfigError) as error:
            work()
        assert str(error.value).startswith(f"{field}: {str(file)!r}")
        assert words in str(error.value)
    assert units == []
    assert list(Store(where / "store").every()) == []


def adapter(where: Path, base: Path) -> Path:
    """Write a folder with an adapter of one tensor."""
    where.mkdir()
    (where / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base), "peft_type": "LORA"}))
    safetensors(where / "adapter_model.safetensors", "F32", np.ones(4, dtype="<f4").tobytes())
    return where


def test_an_adapter_and_its_base_are_looked_through(tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    folder = adapter(tmp_path / "adapter", base)
    config = settings(written(tmp_path), f"model.source={folder}", "model.dtype=float32")
    put_nan(base)
    check_both(tmp_path, config, "model", base / "model.safetensors", "NaN")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    check_both(tmp_path, config, "model", weights, "it is cut off")


def test_the_base_beneath_a_model_that_burnish_trained_is_looked_through(tmp_path: Path) -> None:
    """An annotator may be such a folder. Its adapter needs the base at the end of hours of training."""
    base = model(tmp_path / "base")
    folder = adapter(tmp_path / "trained", base)
    card = ModelCard(
        base=ModelConfig(source=str(base), dtype=DType.FLOAT32), content="x", weights=Weights.ADAPTER, classifier=True
    )
    write_card(folder, card)
    config = settings(written(tmp_path), annotator={"kind": "classifier", "model": str(folder)})
    dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))
    put_nan(base)
    check_both(tmp_path, config, "annotator.model", base / "model.safetensors", "NaN")
    shutil.rmtree(base)
    with pytest.raises(ConfigError, match=r"annotator\.model: '.*base' does not exist"):
        dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))


def embedder(where: Path) -> Path:
    """Write a folder as sentence-transformers does: a transformer in it, and modules in folders below."""
    model(where)
    paths = ["", "1_Pooling", "2_Dense", "3_Normalize"]
    modules = [{"idx": i, "name": str(i), "path": path, "type": "x"} for i, path in enumerate(paths)]
    (where / "modules.json").write_text(json.dumps(modules))
    for name in ("1_Pooling", "2_Dense"):
        (where / name).mkdir()
        (where / name / "config.json").write_text("{}")
    safetensors(where / "2_Dense" / "model.safetensors", "F32", np.ones(4, dtype="<f4").tobytes())
    return where


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "file", "words"),
    [
        (put_nan, "model.safetensors", "holds NaN"),
        (cut("2_Dense/model.safetensors", 20), "2_Dense/model.safetensors", "cut off"),
        (write("1_Pooling/config.json", "[]"), "1_Pooling/config.json", "holds a list and no JSON object"),
        (write("config.json", "[]"), "config.json", "holds a list and no JSON object"),
        (write("modules.json", '{"a": 1}'), "modules.json", "is not a list of modules that have a path"),
        (write("modules.json", "[1]"), "modules.json", "is not a list of modules that have a path"),
        (write("modules.json", "["), "modules.json", "is no readable JSON"),
        (write("modules.json", json.dumps([{"path": "x" * 5000}])), "modules.json", "a path in it: File name too long"),
    ],
)
def test_a_model_of_embeddings_is_looked_through(
    tmp_path: Path, damage: Callable[[Path], None], file: str, words: str
) -> None:
    folder = embedder(tmp_path / "embedder")
    config = settings(written(tmp_path), differs=f"embedding:{folder}")
    dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))
    damage(folder)
    check_both(tmp_path, config, "differs.model", folder / file, words)


def test_more_layers_than_there_are(tmp_path: Path) -> None:
    folder = model(tmp_path / "base")
    with pytest.raises(ConfigError, match=r"model: layers: 3 asked for, '.*config\.json' has 2; ask for at most 2"):
        check_files(ModelConfig(source=str(folder), layers=3), folder, "model")


def test_whole_models_pass() -> None:
    for place in sorted(EMBEDDED.glob("*/config.json")):
        check_files(ModelConfig(source=str(place.parent)), place.parent, "model")


@pytest.mark.parametrize(
    ("file", "tokens"),
    [
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "<pad>"}}}),
        ("tokenizer.json", {"added_tokens": [{"id": "a", "content": "x"}]}),
        ("tokenizer.json", {"added_tokens": [{"id": None, "content": "x"}]}),
        ("tokenizer.json", {"added_tokens": 5}),
    ],
)
def test_damaged_tokens_are_named(tmp_path: Path, file: str, tokens: dict[str, Any]) -> None:
    folder = model(tmp_path / "base")
    (folder / file).write_text(json.dumps(tokens))
    with pytest.raises(ConfigError, match=r"model: '.*base': its tokenizer's added tokens are damaged"):
        check_files(ModelConfig(source=str(folder)), folder, "model")


def test_a_gguf_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:-64])
    config = settings(written(tmp_path), f"model.source={path}", "model.dtype=float32")
    with pytest.raises(ConfigError, match=r"model: '.*m\.gguf': it is cut off"):
        dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))
