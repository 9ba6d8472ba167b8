"""What a refinement would cost. The numbers are rough, and the output says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from burnish import backends
from burnish.annotators.llm.questions import CallEstimate, summed
from burnish.annotators.llm.questions import estimate as estimated_calls
from burnish.annotators.llm.writer import estimate as estimated_proposals
from burnish.config import ClearMethod, JudgeConfig, ModelConfig, RefineConfig, ServerProposals
from burnish.models import location
from burnish.models.adapter import beneath
from burnish.refinery.dataset import DataFacts
from burnish.selftest.asking import TIMES
from burnish.selftest.planted import most_planted
from burnish.types import CHARACTERS_PER_TOKEN

TRAINING, GENERATION = 0.25, 0.05
"""The shares of the speed of large matrix products that training and generation are assumed to reach. They are rough
values for a model of 100M parameters on a CPU. Generation is slower because it reads all weights for each token."""
FASTEST = 10_000
"""Tokens per second that the smallest models reach on a CPU. For them Python takes longer than the arithmetic."""
BYTES = {".safetensors": 2.0, ".gguf": 0.75, ".bin": 2.0}
"""Bytes per parameter in a model file, by suffix: half precision, about five bits, half precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Upper bounds over all rounds: no proposal equals its label, and no stage is done yet.

    `calls` are those of all judges on servers, with the self-test if it is still to run. `seconds` is None if the model
    or its libraries are not on this machine. `proposals` are the calls to a model on a server that proposes.
    """

    rows: int
    rounds: int
    comparisons: int
    trained_tokens: int
    generated_tokens: int
    seconds: float | None
    calls: CallEstimate | None
    proposals: CallEstimate | None = None


def estimated(config: RefineConfig, facts: DataFacts, selftested: bool) -> Estimate:
    """Estimate tokens from characters, time from a short test of the machine's speed, and calls from the judge's
    prompt. `selftested` says whether the self-test is still to run."""
    rows, method = facts.usable, config.method
    tokens = facts.characters / CHARACTERS_PER_TOKEN
    # Tokens that are trained on: by the models that propose in each round, and once more by the model that is kept.
    proposers, elsewhere = config.train_proposers or config.train, config.proposals is not None
    kept = 0.0 if config.model is None else config.train.epochs
    trained = tokens * (kept + (0 if elsewhere else proposers.epochs * method.last_round * method.proposers_passes))
    # Half of the characters of a row are taken to be its answer.
    generated = 0 if elsewhere else method.last_round * method.samples_per_row * tokens / 2
    if config.holdout is not None:
        # A model of the labels before, unless the method trains one in any case, and the answers of two models.
        trained += 0 if isinstance(method, ClearMethod) else tokens * config.train.epochs
        generated += 2 * config.holdout * tokens / rows / 2
    comparisons = comparisons_of(config, rows)
    return Estimate(
        rows=rows,
        rounds=method.last_round,
        comparisons=comparisons,
        trained_tokens=round(trained),
        generated_tokens=round(generated),
        seconds=_seconds(config, trained, generated * config.decode.beams),
        calls=summed(list(_calls(config, facts, comparisons, selftested))),
        proposals=_proposals(config, facts),
    )


def _calls(config: RefineConfig, facts: DataFacts, comparisons: int, selftested: bool) -> Iterator[CallEstimate]:
    """Yield what each judge on a server is asked: the comparisons, and what the self-test asks."""
    rows = facts.usable
    # A prompt with two answers has at most twice the characters of a prompt with one.
    characters = 2 * facts.characters / rows
    for judge in config.annotators:
        if isinstance(judge, JudgeConfig):
            yield estimated_calls(judge, comparisons, characters)
            if selftested:
                pairs = TIMES * most_planted(min(rows, config.selftest.pairs))
                asked = estimated_calls(judge, pairs, characters)
                yield replace(asked, selftest=asked.calls)


def _proposals(config: RefineConfig, facts: DataFacts) -> CallEstimate | None:
    """Return what a model on a server is asked for proposals, or None if there is no such model."""
    server = config.proposals
    if not isinstance(server, ServerProposals):
        return None
    # Half of the characters of a row are taken to be its answer.
    return estimated_proposals(server, facts.usable, facts.characters / facts.usable / 2)


def comparisons_of(config: RefineConfig, rows: int) -> int:
    """Return an upper bound on the comparisons of all rounds. It is reached if no proposal equals its label."""
    in_round = rows * config.method.comparisons_per_row
    return config.method.last_round * (in_round if config.comparisons is None else min(in_round, config.comparisons))


def _seconds(config: RefineConfig, trained: float, generated: float) -> float | None:
    """Return the estimated time, or None if the model or its libraries are not on this machine."""
    # The speed test loads the libraries, so it only runs if the size of the model is known.
    parameters = None if config.model is None else parameters_of(config.model)
    rate = backends.speed(config.execution) if parameters else None
    if not parameters or rate is None:
        return None
    # A transformer needs about 6 operations per parameter and token in training (2 forward, 4 backward), and 2 in
    # generation.
    by_arithmetic = 6 * parameters * trained / (TRAINING * rate) + 2 * parameters * generated / (GENERATION * rate)
    # For the smallest models the arithmetic is not what takes the time.
    return max(by_arithmetic, (trained + generated) / FASTEST)


def parameters_of(model: ModelConfig) -> float | None:
    """Guess the number of parameters of a local model from the size of its files. Returns None if it is not on this
    machine."""
    # A model on the hub is not downloaded for an estimate.
    path = location.find(model)
    if path is not None and location.is_adapter(path):
        return parameters_of(beneath(model, path))
    if path is None or not path.exists():
        return None
    files = [path] if path.is_file() else list(path.iterdir())
    return sum(file.stat().st_size / BYTES[file.suffix] for file in files if file.suffix in BYTES) or None
