"""What a refinement would cost, before anything is spent: rough, and said to be."""

from __future__ import annotations

from dataclasses import dataclass

from burnish import backends
from burnish.annotators.llm.questions import Estimate as CallEstimate
from burnish.annotators.llm.questions import estimate as estimated_calls
from burnish.config import JudgeConfig, ModelConfig, RefineConfig
from burnish.models import location
from burnish.refinery.dataset import DataFacts
from burnish.types import CHARACTERS_PER_TOKEN

TRAINING, GENERATION = 0.25, 0.05
"""Shares of the speed of large matrix products that training and generation are taken to reach: rough, for a model of
100M parameters on a CPU; generation reads all weights for each token."""
FASTEST = 10_000
"""Tokens a second that the smallest models reach on a CPU, where Python's work outweighs arithmetic."""
BYTES = {".safetensors": 2.0, ".gguf": 0.75, ".bin": 2.0}
"""Bytes of a file for a parameter: half precision, about five bits, half precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Upper bounds over all rounds: nothing agrees and nothing is done yet. `seconds` is None where the model or its
    libraries are not here."""

    rows: int
    rounds: int
    comparisons: int
    trained_tokens: int
    generated_tokens: int
    seconds: float | None
    calls: CallEstimate | None


def estimated(config: RefineConfig, facts: DataFacts) -> Estimate:
    """Estimate tokens from characters, time from a short trial of the machine, calls from the judge's prompt."""
    rows, method = facts.usable, config.method
    tokens = facts.characters / CHARACTERS_PER_TOKEN
    # How often all rows are trained on: by the models that propose, and by the one that is kept.
    trained = config.train.epochs * tokens * (1 + method.last_round * method.proposers_passes)
    generated = method.last_round * method.samples_per_row * tokens / 2
    asked = rows * method.comparisons_per_row
    comparisons = method.last_round * (asked if config.comparisons is None else min(asked, config.comparisons))
    judges = [one for one in config.annotators if isinstance(one, JudgeConfig)]
    return Estimate(
        rows=rows,
        rounds=method.last_round,
        comparisons=comparisons,
        trained_tokens=round(trained),
        generated_tokens=round(generated),
        seconds=_seconds(config, trained, generated * config.decode.beams),
        calls=estimated_calls(judges[0], comparisons, facts.characters / rows) if judges else None,
    )


def _seconds(config: RefineConfig, trained: float, generated: float) -> float | None:
    parameters = parameters_of(config.model)
    rate = backends.speed(config.execution) if parameters else None
    if not parameters or rate is None:
        return None
    by_arithmetic = 6 * parameters * trained / (TRAINING * rate) + 2 * parameters * generated / (GENERATION * rate)
    return max(by_arithmetic, (trained + generated) / FASTEST)


def parameters_of(model: ModelConfig) -> float | None:
    """Guess a local model's parameters from the size of its files; None for one that is not here."""
    path = location.find(model)
    if path is None or not path.exists():
        return None
    files = [path] if path.is_file() else list(path.iterdir())
    return sum(file.stat().st_size / BYTES[file.suffix] for file in files if file.suffix in BYTES) or None
