"""The built-in reward model tells right solutions from near misses, wherever a reward model is named."""

from __future__ import annotations

import json
import math
import struct
import sys
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from embedded import backend, user
from experiment import small
from refused import check_refused

from burnish.cli import main
from burnish.config import DType, ModelConfig
from burnish.lab.running import plan
from burnish.models.card import ModelCard, Weights, write_card
from burnish.models.location import EMBEDDED
from burnish.tasks.sums_world import WORDS, solve
from burnish.types import Artifact, TrainingRow

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from pretraining_text import reserved_questions
from rewarder_layers import Places, make_model
from rewarder_rows import SEED, TEST_SEED, WRONG, held_out, padded, pairs, wrong_by
from train_rewarder import NAME, accuracies, language_model

REWARDER = f"builtin:{NAME}"
LEAST = 0.9
"""The least share of right pairs of each kind. docs/built-in-models.md has what was measured."""


def tensors(folder: Path) -> dict[str, Any]:
    """Return the header of a safetensors file: {name of the weights: their shape and place}."""
    data = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    return {name: one for name, one in header.items() if name != "__metadata__"}


def test_the_table_has_every_built_in_model_with_its_size() -> None:
    table = json.loads((EMBEDDED / "models.json").read_text())
    assert [row["name"] for row in table] == sorted(place.parent.name for place in EMBEDDED.glob("*/config.json"))
    for row in table:
        held = tensors(EMBEDDED / row["name"])
        assert sum(math.prod(one["shape"]) for one in held.values()) == row["parameters"], row["name"]


def test_it_has_a_head_of_one_number() -> None:
    held = tensors(EMBEDDED / NAME)
    assert held["score.weight"]["shape"][0] == 1
    assert not any("lm_head" in name for name in held)
    assert json.loads((EMBEDDED / NAME / "config.json").read_text())["architectures"] == [
        "LlamaForSequenceClassification"
    ]


def rewards(where: Path, model: ModelConfig, rows: list[TrainingRow]) -> dict[str, float]:
    """Return the rewards of rows as burnish computes them."""
    where.mkdir()
    write_card(where, ModelCard(base=model, content="c", weights=Weights.BASE, reward=True))
    scorer, artifact = backend(), Artifact(path=str(where), kind="base", fingerprint="base")
    return {score.id: score.value for batch in scorer.rewards(artifact, rows, frozenset()) for score in batch}


def pairs_of(kind: str, count: int) -> list[TrainingRow]:
    """Return right and wrong solutions of questions that no training used. Their ids end in `right` and `wrong`."""
    random, rows = Random(TEST_SEED), list[TrainingRow]()
    for number, story in enumerate(held_out(TEST_SEED)[:count]):
        sides = {"right": solve(story.start, story.steps)[0], "wrong": wrong_by(kind, random, story)}
        for side, text in sides.items():
            rows.append(TrainingRow(id=f"{number} {side}", prompt=user(story.question), completion=text))
    return rows


@pytest.mark.parametrize("kind", list(WRONG))
def test_right_solutions_have_the_higher_reward(tmp_path: Path, kind: str) -> None:
    count = 200
    model = ModelConfig(source=REWARDER, dtype=DType.FLOAT32)
    found = rewards(tmp_path / "model", model, pairs_of(kind, count))
    assert len(found) == 2 * count
    assert sum(found[f"{n} right"] > found[f"{n} wrong"] for n in range(count)) / count > LEAST


@pytest.mark.slow
def test_the_new_layers_begin_with_the_logits_of_the_words() -> None:
    import torch

    start, threshold = language_model(EMBEDDED), torch.tensor(8.0)
    model: Any = make_model(start, threshold)
    ids, _, weights, mask = padded([right for right, _ in islice(pairs(SEED + 1), 40)])
    with torch.no_grad():
        states: Any = model.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        logits: Any = start(input_ids=ids, attention_mask=mask.long()).logits
    computed: Any = states[start.config.num_hidden_layers + 1][:, 1:, Places(start).logit]
    given = logits[:, :-1].gather(2, ids[:, 1:, None])[..., 0] - threshold
    answer = weights[:, 1:] > 0
    assert torch.corrcoef(torch.stack([computed[answer], given[answer]]))[0, 1].item() > 0.95
    # The threshold is 8.
    assert (computed[answer] - given[answer]).abs().median().item() < 2.0


@pytest.mark.slow
def test_without_the_training_it_does_not_know_slips() -> None:
    import torch

    model = make_model(language_model(EMBEDDED), torch.tensor(8.0))
    assert accuracies(model)["slip"] < LEAST - 0.1


@pytest.mark.slow
def test_no_question_of_an_experiment_or_of_the_test_is_trained_on() -> None:
    tested = reserved_questions() | {story.question for story in held_out(TEST_SEED)}
    seen = list[str]()
    for (ids, _, _), _ in islice(pairs(SEED), 3000):
        words = [WORDS[id_] for id_ in ids]
        seen.append(" ".join(words[words.index(":") + 1 : words.index("answer")]))
    assert all(question.endswith("?") for question in seen)
    assert not tested & set(seen)
    # Without the check, some would have been drawn.
    assert len(set(seen)) > 2500


@pytest.fixture
def slips(tmp_path: Path) -> Path:
    """Write pairs of a right solution and a slip."""
    random, path = Random(7), tmp_path / "pairs.jsonl"
    rows = [
        {
            "prompt": story.question,
            "chosen": solve(story.start, story.steps)[0],
            "rejected": wrong_by("slip", random, story),
        }
        for story in held_out(TEST_SEED)[:100]
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_the_commands_take_it(tmp_path: Path, slips: Path) -> None:
    store = ["--store", str(tmp_path / "store"), "--json"]
    done = CliRunner().invoke(main, ["reward", "test", REWARDER, str(slips), *store])
    assert done.exit_code == 0, done.output
    accuracy = json.loads(done.stdout)["accuracy"]
    assert accuracy["n"] == 100
    assert accuracy["value"] > LEAST - 0.05
    done = CliRunner().invoke(main, ["reward", "check", REWARDER, "--pairs", str(slips), *store])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["checks"][0]["verdict"] == "fit"
    prompts = tmp_path / "prompts.jsonl"
    chosen = [json.loads(line) for line in slips.read_text().splitlines()[:20]]
    rows = [{"question": row["prompt"], "answer": row["chosen"]} for row in chosen]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    both = ["--policy", "builtin:strong", "--reward", REWARDER, "--checker", "sums", "--out", str(tmp_path / "seam")]
    done = CliRunner().invoke(main, ["seam", "score", str(prompts), *both, *store])
    assert done.exit_code == 0, done.output
    # It is the share of near misses with a higher reward than their gold answer.
    assert json.loads(done.stdout)["mean"]["count"] < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"supervision": {"annotator": {"kind": "reward_model", "model": REWARDER}}, "methods": [{"kind": "ilr"}]},
        {"methods": [{"kind": "rl", "reward": {"kind": "reward_model", "model": REWARDER}}]},
    ],
    ids=["annotator", "reward"],
)
def test_an_experiment_takes_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert plan(small(**changes), tmp_path / "store").stages


def test_it_is_no_language_model(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"question": "how many", "answer": "#### 3"}\n')
    both = ["--policy", REWARDER, "--reward", REWARDER, "--checker", "sums", "--out", str(tmp_path / "seam")]
    done = CliRunner().invoke(main, ["seam", "score", str(prompts), *both, "--store", str(tmp_path / "store")])
    check_refused(done, "policy: 'builtin:rewarder' is no language model", "give a language model")


def test_a_language_model_is_no_reward_model(tmp_path: Path, slips: Path) -> None:
    done = CliRunner().invoke(main, ["reward", "test", "builtin:strong", str(slips), "--store", str(tmp_path / "s")])
    check_refused(done, "'builtin:strong' has no trained head", "a sequence classifier with 1 label")
