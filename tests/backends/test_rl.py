"""Reinforcement learning on the built-in model: what is sampled, rewarded, logged and saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from embedded import backend, base, trained

from burnish.errors import BackendError, DataError
from burnish.models.card import Weights, read_card
from burnish.types import Artifact, Completion, Message, Role, TrainingRow

torch: Any = pytest.importorskip("torch")

from preferring import LORA, RIGHT_AND_WRONG, SETTINGS  # noqa: E402
from reinforcing import PROMPTS, plan, reinforced, shortness  # noqa: E402

from burnish.backends.load import renderer_of  # noqa: E402
from burnish.backends.render import Renderer  # noqa: E402
from burnish.backends.rl import StopsAtKl, tokenizer_of  # noqa: E402
from burnish.config import DType, ModelConfig, Template  # noqa: E402


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """All weights, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An adapter, finetuned for four steps."""
    return trained(tmp_path_factory.mktemp("adapter"), LORA)


def weights(model: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(model.glob("*.safetensors")))


def names(model: Path) -> set[str]:
    return {path.name for path in model.iterdir()}


# --- the prompts


@pytest.mark.parametrize("template", [Template.EMBEDDED, Template.PAPER])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_trl_turns_prompts_into_our_ids(template: Template, adds_bos: bool) -> None:
    renderer = Renderer(renderer_of(ModelConfig(source="builtin:strong", dtype=DType.FLOAT32)).tokenizer, template)
    renderer.adds_bos = adds_bos and renderer.tokenizer.bos_token is not None
    turns = [Message(role=Role.SYSTEM, content=" Be brief. "), Message(role=Role.USER, content="2 + 3 ?\n\nDone")]
    text = [{"role": "user", "content": renderer.prompt_text(turns)}]
    theirs = tokenizer_of(renderer).apply_chat_template(text, add_generation_prompt=True, tokenize=True)
    assert list(theirs["input_ids"]) == renderer.prompt(turns)


# --- the course


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_a_step_asks_for_the_rewards_of_its_answers(policy: Artifact, tmp_path: Path, algorithm: str) -> None:
    done, seen = reinforced(policy, tmp_path / "rl", algorithm=algorithm)
    assert len(done.kls) == len(seen.steps) == 3
    assert done.kls[0] == pytest.approx(0, abs=1e-5)
    assert any(abs(kl) > 1e-4 for kl in done.kls[1:])
    assert not done.passed_bound
    for answers in seen.steps:
        assert sorted(one.sample for one in answers) == sorted([0, 1, 2, 3] * 4)
        assert len({one.id for one in answers}) == 4
        assert all(one.finished or one.tokens == 24 for one in answers)
    assert read_card(tmp_path / "rl") == read_card(Path(policy.path))
    assert names(tmp_path / "rl") == names(Path(policy.path))
    assert weights(tmp_path / "rl") != weights(Path(policy.path))
    # The model's own defaults for generation stay as they were. Other programs read them.
    own = [(folder / "generation_config.json").read_bytes() for folder in (tmp_path / "rl", Path(policy.path))]
    assert own[0] == own[1]


@pytest.mark.slow
def test_a_policy_learns_what_is_rewarded(policy: Artifact, tmp_path: Path) -> None:
    _, seen = reinforced(policy, tmp_path / "rl", steps=12, prompts=8, samples=8, beta=0.01)
    lengths = [sum(one.tokens for one in answers) / len(answers) for answers in seen.steps]
    assert sum(lengths[-3:]) / 3 < sum(lengths[:3]) / 3 - 1


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_several_passes_over_parts_of_the_answers_ask_once_a_step(
    policy: Artifact, tmp_path: Path, algorithm: str
) -> None:
    several: dict[str, Any] = {"algorithm": {"kind": algorithm, "passes": 2}, "batch_size": 8, "max_kl": None}
    done, seen = reinforced(policy, tmp_path / "rl", **several)
    assert len(done.kls) == len(seen.steps) == 3
    assert {len(answers) for answers in seen.steps} == {16}


@pytest.mark.slow
def test_the_training_stops_at_the_bound_of_the_kl(policy: Artifact, tmp_path: Path) -> None:
    done, seen = reinforced(policy, tmp_path / "rl", steps=40, learning_rate=1e-2, beta=1e-6, max_kl=0.5)
    assert done.passed_bound
    assert len(done.kls) == len(seen.steps) < 40
    assert done.kls[-1] > 0.5
    assert max(done.kls[:-1]) <= 0.5
    assert read_card(tmp_path / "rl").weights is Weights.FULL


def test_a_kl_that_is_no_number_is_an_error() -> None:
    stop = StopsAtKl(1.0)
    with pytest.raises(BackendError, match=r"the KL of step 1 is nan, .*lower learning_rate or raise beta"):
        stop.on_log(None, None, None, {"kl": None, "completions/mean_length": 3.0})


# --- the same again


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(policy: Artifact, tmp_path: Path) -> None:
    found = [reinforced(policy, tmp_path / name, seed=seed, steps=2) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert found[0][0] == found[1][0] != found[2][0]
    assert found[0][1].steps == found[1][1].steps != found[2][1].steps
    saved = [weights(tmp_path / name) for name in "abc"]
    assert saved[0] == saved[1] != saved[2]


# --- what is saved


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_an_adapter_goes_on_as_an_adapter(adapter: Artifact, tmp_path: Path, algorithm: str) -> None:
    before = weights(Path(adapter.path))
    done, _ = reinforced(adapter, tmp_path / "rl", algorithm=algorithm, learning_rate=1e-2)
    # The reference is the adapter as it was, and not the base model without it.
    assert done.kls[0] == pytest.approx(0, abs=1e-5)
    assert names(tmp_path / "rl") == names(Path(adapter.path))
    assert read_card(tmp_path / "rl").weights is Weights.ADAPTER
    assert weights(tmp_path / "rl") != before == weights(Path(adapter.path))


# --- rewards


@pytest.mark.slow
def test_a_reward_model_of_the_backend_rewards_the_answers(policy: Artifact, tmp_path: Path) -> None:
    """It is loaded once and stays in memory, and only the training shows its progress."""
    (tmp_path / "rm").mkdir()
    backend().train_rewards(base(tmp_path / "base"), RIGHT_AND_WRONG, SETTINGS, 0.0, 0, tmp_path / "rm")
    model = Artifact(path=str(tmp_path / "rm"), kind="train_rewards", fingerprint="rm")
    bars = Bars()
    own = backend(bars)

    def rewards(answers: Sequence[Completion]) -> list[float | None]:
        asked = {prompt.id: prompt.messages for prompt in PROMPTS}
        rows = [TrainingRow(id=str(n), prompt=asked[one.id], completion=one.text) for n, one in enumerate(answers)]
        found = {score.id: score.value for batch in own.rewards(model, rows, set()) for score in batch}
        return [found[row.id] for row in rows]

    (tmp_path / "rl").mkdir()
    done = own.train_policy(policy, PROMPTS, plan(), rewards, 0, tmp_path / "rl")
    assert len(done.kls) == 3
    assert bars.started == ["training"]


class Bars:
    """Remembers which progress bars were started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, label: str, total: int, done: int = 0) -> None:
        self.started.append(label)

    def advance(self, amount: int) -> None: ...


@pytest.mark.slow
def test_an_answer_without_a_reward_teaches_nothing(policy: Artifact, tmp_path: Path) -> None:
    def unknown(answer: Completion) -> float | None:
        return None if answer.sample % 2 else shortness(answer)

    done, _ = reinforced(policy, tmp_path / "rl", unknown)
    assert len(done.kls) == 3
    assert weights(tmp_path / "rl") != weights(Path(policy.path))


def test_an_error_of_a_reward_ends_the_training(policy: Artifact, tmp_path: Path) -> None:
    def broken(answer: Completion) -> float:
        raise DataError(f"answer {answer.id}: no reward")

    with pytest.raises(DataError, match="no reward"):
        reinforced(policy, tmp_path / "rl", broken)


def test_a_prompt_that_does_not_fit_is_named(policy: Artifact, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row p00: a prompt of \d+ tokens and 2000 new ones, but at most \d+ fit"):
        reinforced(policy, tmp_path / "rl", new=2000)


def test_several_processes_are_refused(policy: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BackendError, match=r"WORLD_SIZE: 2 found; train policies with RL in one process"):
        reinforced(policy, tmp_path / "rl")
