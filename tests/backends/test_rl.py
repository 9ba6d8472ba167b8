"""Reinforcement learning on the built-in model: what is sampled, rewarded, logged and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from embedded import trained

from burnish.models.card import read_card
from burnish.types import Artifact

torch: Any = pytest.importorskip("torch")

from preferring import LORA  # noqa: E402
from reinforcing import reinforced  # noqa: E402

pytestmark = pytest.mark.slow
"""Each test samples and trains a model."""


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
    assert {path.name for path in (tmp_path / "rl").iterdir()} == {path.name for path in Path(policy.path).iterdir()}
    assert weights(tmp_path / "rl") != weights(Path(policy.path))
