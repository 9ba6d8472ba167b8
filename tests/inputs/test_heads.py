"""A model without a trained head is refused before anything is spent, where only a head can score."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from refinement import written
from refused import check_refused

from burnish.cli import main
from burnish.config import ModelConfig
from burnish.errors import ConfigError
from burnish.inputs.found import FoundModel
from burnish.inputs.heads import check_heads
from burnish.inputs.models import FoundModels
from burnish.models.location import EMBEDDED
from burnish.types import Artifact, Head


def saved(folder: Path, names: Sequence[str]) -> Path:
    """Write a safetensors file with tensors of these names and one number each."""
    tensors = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)}
    header = json.dumps(tensors).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * len(names)))
    return folder


def found(folder: Path, head: Head = Head.REWARD, as_it_is: bool = True) -> FoundModels:
    weights = Artifact(path=str(folder), kind="weights", fingerprint="w")
    model = ModelConfig(source=str(folder))
    return FoundModels({"annotator.model": FoundModel(model=model, weights=weights, head=head, as_it_is=as_it_is)})


@pytest.mark.parametrize(
    "name",
    ["score.weight", "classifier.out_proj.weight", "base_model.model.score.weight", "logits_proj.summary.weight"],
)
def test_heads_of_the_usual_architectures_are_found(tmp_path: Path, name: str) -> None:
    check_heads(found(saved(tmp_path / "model", ["model.layers.0.self_attn.q_proj.weight", name])))


def test_a_language_model_has_no_head(tmp_path: Path) -> None:
    where = saved(tmp_path / "model", ["model.embed_tokens.weight", "lm_head.weight"])
    with pytest.raises(ConfigError, match=r"^annotator\.model: .*no trained head.*score or classifier.*1 label"):
        check_heads(found(where))
    with pytest.raises(ConfigError, match="2 labels"):
        check_heads(found(where, Head.CLASSIFIER))
    # A head that is still to be trained, and a model that needs none.
    check_heads(found(where, as_it_is=False))
    check_heads(found(where, Head.NONE))


def test_a_model_with_a_head_writes_no_answers(tmp_path: Path) -> None:
    where = saved(tmp_path / "model", ["model.embed_tokens.weight", "score.weight"])
    with pytest.raises(
        ConfigError, match=r"^annotator\.model: .*no language model.*named score.*give a language model"
    ):
        check_heads(found(where, Head.NONE, as_it_is=False))
    # A head can be trained again, and a language model may have a score beside its output.
    check_heads(found(where, as_it_is=False))
    check_heads(found(saved(tmp_path / "both", ["lm_head.weight", "score.weight"]), Head.NONE))


def test_nothing_is_said_about_files_that_cannot_be_looked_into(tmp_path: Path) -> None:
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    for where in (tmp_path / "pickled", tmp_path / "absent"):
        check_heads(found(where))


def test_no_built_in_language_model_passes_for_a_reward_model() -> None:
    with pytest.raises(ConfigError, match="no trained head"):
        check_heads(found(EMBEDDED / "strong"))


def test_a_dry_run_refuses_it(tmp_path: Path) -> None:
    arguments = ["refine", str(written(tmp_path)), "--model", "builtin:strong"]
    judge = ["--annotator", "reward_model:builtin:judge-3", "--differs", "number", "--dry-run"]
    done = CliRunner().invoke(main, [*arguments, *judge, "--store", str(tmp_path / "s"), "--out", str(tmp_path / "o")])
    check_refused(done, "annotator.model: 'builtin:judge-3'", "no trained head")
    assert not (tmp_path / "o").exists()
