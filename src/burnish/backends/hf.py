"""Runs models with transformers: answers, log-probabilities and comparisons. Training is in train.py and dpo.py.

Axes: B is the rows of a batch, T the token positions, V the vocabulary, and N the tokens that have a target.
"""

from __future__ import annotations

import copy
import warnings
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import LogitsProcessor

from burnish.algorithms.reinforcement import PolicyPlan, PolicyTrained, Rewards
from burnish.algorithms.rewards import RewardTrained
from burnish.backends import Progress, limits
from burnish.backends.batching import plan_batches
from burnish.backends.decoding import decode
from burnish.backends.device import Runtime, choose_device, set_threads
from burnish.backends.dpo import PreferenceTraining
from burnish.backends.export import export
from burnish.backends.load import Loaded, load, max_positions
from burnish.backends.placing import check_split, place_of
from burnish.backends.render import check_fits
from burnish.backends.sampling import InverseCdf
from burnish.backends.scoring import logprob_sums, most_targets, right_padded
from burnish.backends.tracking import Tracking
from burnish.backends.train import Training
from burnish.config import Decoding, Execution, ModelConfig, Objective, TrainSettings
from burnish.errors import DataError
from burnish.protocols import RowKey, SamplingKey, Score, Trained, row_key
from burnish.store.shards import Shard
from burnish.types import Artifact, Completion, Head, PairRow, PreferenceRow, Prompt, TrainingRow

R = TypeVar("R")
J = TypeVar("J", PairRow, TrainingRow)


class HfBackend:
    """The backend on transformers, PEFT and TRL."""

    def __init__(
        self,
        execution: Execution,
        progress: Progress,
        sources: Mapping[str, ModelConfig],
        tracking: Tracking | None = None,
    ) -> None:
        self.device = choose_device(execution.device)
        self.runtime = Runtime(
            device=self.device, execution=execution, progress=progress, sources=sources, tracking=tracking
        )
        check_split(self.device, execution)
        set_threads(execution)
        self._loaded: dict[str, Loaded] = {}
        self._in_training = False
        self._part: Shard | None = None
        # TRL still uses old names of transformers. A user of burnish cannot change that.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
        # PEFT looks for a config next to a GGUF file, to see if the vocabulary changed. burnish never changes it.
        warnings.filterwarnings("ignore", message="Could not find a config file in", category=UserWarning)

    def train(
        self,
        model: Artifact,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        seed: int,
        into: Path,
        checkpoints: int = 0,
    ) -> int:
        """Finetune on rendered rows (see train.py), and return the tokens of all epochs."""
        self._loaded.clear()  # two models in memory at once would double the peak memory
        return Training(Path(model.path), settings, seed, self.runtime).finetune(rows, into, checkpoints)

    def train_classifier(
        self, model: Artifact, rows: Sequence[tuple[PairRow, PairRow]], settings: TrainSettings, seed: int, into: Path
    ) -> int:
        """Train a two-way head (see train.py), and return the tokens of all epochs.

        The two orders of a pair share a batch.
        """
        self._loaded.clear()
        return Training(Path(model.path), settings, seed, self.runtime, Head.CLASSIFIER).learn_to_compare(rows, into)

    def train_rewards(
        self,
        model: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        centring: float,
        seed: int,
        into: Path,
    ) -> RewardTrained:
        """Train a reward model with TRL's RewardTrainer (see train.py)."""
        self._loaded.clear()
        return Training(Path(model.path), settings, seed, self.runtime, Head.REWARD).learn_to_reward(
            rows, centring, into
        )

    def train_preferences(
        self,
        policy: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        objective: Objective,
        seed: int,
        into: Path,
    ) -> Trained:
        """Train a policy on preferences with TRL's DPOTrainer (see dpo.py)."""
        self._loaded.clear()
        return PreferenceTraining(Path(policy.path), settings, objective, seed, self.runtime).optimize(rows, into)

    def train_policy(
        self,
        policy: Artifact,
        prompts: Sequence[Prompt],
        plan: PolicyPlan,
        rewards: Rewards,
        seed: int,
        into: Path,
    ) -> PolicyTrained:
        """Train a policy with RL (see rl.py). `rewards` may let other models of this backend score the answers."""
        # Imported here, because few runs need it.
        from burnish.backends.rl import Reinforcement  # noqa: PLC0415

        self._loaded.clear()
        self.runtime.resident.drop()
        self._in_training = True
        try:
            return Reinforcement(Path(policy.path), plan, seed, self.runtime).learn(prompts, rewards, into)
        finally:
            self._in_training = False
            self._loaded.clear()

    def generate(
        self,
        model: Artifact,
        prompts: Sequence[Prompt],
        settings: Decoding,
        key: SamplingKey,
        done: AbstractSet[RowKey],
    ) -> Iterator[Sequence[Completion]]:
        """Yield batches of answers from beam search, greedy search or seeded sampling, with a KV cache.

        Raises DataError with the row's id if a prompt and its answer do not fit into the model.
        """
        loaded = self._load(model)
        # All prompts are rendered before the first one is answered. So a prompt that does not fit stops the stage at
        # once.
        ids = [array("i", loaded.renderer.prompt(prompt.messages, prompt.id)) for prompt in prompts]
        check_fits(prompts, ids, settings.max_new_tokens, max_positions(loaded.model))
        # Each beam is a row of its own, and the cache of keys and values grows until the last new token.
        lengths = [(len(row) + settings.max_new_tokens) * settings.beams for row in ids]
        keys = [row_key(prompt.id, prompt.sample) for prompt in prompts]
        batches = plan_batches(lengths, self.cached_tokens(loaded.model))
        for batch in self._missing("answering", batches, keys, done):
            chosen = [prompts[i] for i in batch]
            yield self._answer(loaded, chosen, [ids[i] for i in batch], settings, key)

    def _answer(
        self,
        loaded: Loaded,
        prompts: Sequence[Prompt],
        ids: Sequence[Sequence[int]],
        settings: Decoding,
        key: SamplingKey,
    ) -> list[Completion]:
        longest = max(len(row) for row in ids)

        # The processor draws a token and hides all others, so that greedy search takes the drawn one. The library's own
        # sampling would depend on the batch, because it draws for all rows from one generator.
        def drawn(rows: Sequence[int]) -> list[LogitsProcessor]:
            return [InverseCdf(key, [prompts[row] for row in rows], longest, settings.temperature)]

        chosen = {"processors": drawn} if settings.temperature > 0 else {}
        answers = decode(loaded.model, ids, settings, read_tokens=self.read_tokens(loaded.model), **chosen)
        ends = frozenset(loaded.renderer.ends)
        return [_completion(loaded, prompt, row, ends) for prompt, row in zip(prompts, answers, strict=True)]

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of log p(completion and end | prompt) in nats, summed over the tokens.

        The logits are turned into log-probabilities in float32. Raises DataError with the row's id if a row does not
        fit into the model.
        """
        loaded = self._load(model)
        limit, keys = max_positions(loaded.model), [row.id for row in rows]
        ids: list[Sequence[int]] = []
        starts: list[int] = []
        for row in rows:
            tokens = loaded.renderer.row(row, limit)
            ids.append(array("i", tokens.ids))
            starts.append(tokens.prompt_length)
        lengths = [len(row) for row in ids]
        targets = [length - start for length, start in zip(lengths, starts, strict=True)]
        batches = plan_batches(lengths, self.batch_tokens(loaded.model), targets, most_targets(loaded.model))
        pad = loaded.renderer.tokenizer.pad_token_id
        for batch in self._missing("scoring", batches, keys, done):
            values = logprob_sums(loaded.model, [ids[i] for i in batch], [starts[i] for i in batch], pad)
            yield [Score(id=keys[i], value=value, tokens=targets[i]) for i, value in zip(batch, values, strict=True)]

    def fitting(self, model: Artifact, rows: Sequence[TrainingRow]) -> AbstractSet[str]:
        """Return the ids of the rows whose prompt, completion and end fit into the model."""
        loaded = self._load(model)
        return _fitting(
            rows, lambda row, limit: loaded.renderer.row(row, limit).ids, max_positions(loaded.model)
        ).keys()

    def classify(
        self, model: Artifact, rows: Sequence[PairRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of P(the second answer is better) from the two-way head.

        A pair that does not fit into the model gets no score.
        """
        loaded = self._load(model)
        rendered = _fitting(rows, loaded.renderer.pair, max_positions(loaded.model))
        return self._heads(
            "comparing", loaded, rendered, done, lambda logits_B2: torch.softmax(logits_B2, dim=-1)[:, 1]
        )

    def rewards(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of a reward model's scores. A row that does not fit into the model gets no score."""
        loaded = self._load(model)
        rendered = _fitting(rows, loaded.renderer.judged, max_positions(loaded.model))
        return self._heads("rewarding", loaded, rendered, done, lambda logits_B1: logits_B1[:, 0])

    def _heads(
        self,
        label: str,
        loaded: Loaded,
        rendered: Mapping[str, Sequence[int]],
        done: AbstractSet[RowKey],
        value: Callable[[torch.Tensor], torch.Tensor],
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of scores. `value` turns a head's outputs (in float32) into one value for each row."""
        keys, ids = list(rendered), list(rendered.values())
        batches = plan_batches([len(row) for row in ids], self.batch_tokens(loaded.model))
        # transformers reads the head at the last token that is not the pad token. A head that burnish trained may have
        # a pad token of its own.
        pad = loaded.model.config.pad_token_id
        for batch in self._missing(label, batches, keys, done):
            input_BT, mask_BT = right_padded([ids[i] for i in batch], pad, loaded.model.device)
            with torch.inference_mode():
                value_B = value(loaded.model(input_ids=input_BT, attention_mask=mask_BT).logits.float()).tolist()
            yield [Score(id=keys[i], value=one, tokens=len(ids[i])) for i, one in zip(batch, value_B, strict=True)]

    def export(self, model: Artifact, into: Path, merge: bool = False) -> None:
        """Write the weights, the tokenizer and a program that tries the model (see export.py)."""
        self._loaded.clear()
        export(Path(model.path), into, self.runtime.sources, merge)

    def part(self, part: Shard) -> HfBackend:
        """Return this backend with the same models, except that it answers and scores one part of the batches."""
        other = copy.copy(self)
        other._part = part
        return other

    def _missing(
        self, label: str, batches: Sequence[list[int]], keys: Sequence[str], done: AbstractSet[str]
    ) -> Iterator[list[int]]:
        if self._part is not None:
            batches = self._part.of(batches)
        # If one row of a batch is missing, the whole batch is done again. In a smaller batch the logits would be a
        # little different, so a resumed run would have other results.
        missing = [batch for batch in batches if not all(keys[i] in done for i in batch)]
        # Finished batches count as done from the start. They take no time, so the bar's estimate of the remaining time
        # would otherwise be too short.
        # During a training, only its own bar is shown.
        shown = not self._in_training
        if shown:
            total = sum(map(len, batches))
            self.runtime.progress.start(label, total, total - sum(map(len, missing)))
        for batch in missing:
            yield batch
            if shown:
                self.runtime.progress.advance(len(batch))

    def batch_tokens(self, model: Any) -> int:
        """Return how many tokens, padding included, a batch may have that is read at once."""
        return limits.batch_tokens(self.runtime.execution, self.device.type, _is_small(model))

    def cached_tokens(self, model: Any) -> int:
        """Return how many tokens the cache of a batch of answers may have, padding and all beams included."""
        return limits.cached_tokens(self.runtime.execution, self.device.type, _is_small(model))

    def read_tokens(self, model: Any) -> int:
        """Return how many tokens of prompts may be read at once, padding included."""
        # Only small models gain from it: their weights fit into the processor's cache, and so should the rows.
        small_on_cpu = self.device.type == "cpu" and _is_small(model)
        return min(3_072, self.cached_tokens(model)) if small_on_cpu else self.cached_tokens(model)

    def _load(self, model: Artifact) -> Loaded:
        if model.path not in self._loaded:
            # The old model is dropped first, so that there are never two of them in memory. Only models that reward the
            # answers of a training are all kept, because each of them is asked in every step.
            if not self._in_training:
                self._loaded.clear()
            # Models that reward a training must not take each other's adapters away.
            resident = None if self._in_training else self.runtime.resident
            place = place_of(self.device, self.runtime.execution)
            self._loaded[model.path] = load(Path(model.path), place, self.runtime.sources, resident)
        return self._loaded[model.path]


def _is_small(model: Any) -> bool:
    return sum(one.numel() for one in model.parameters()) < limits.SMALL_MODEL


def _fitting(rows: Sequence[J], render: Callable[[J, int], list[int]], limit: int) -> dict[str, Sequence[int]]:
    """Return {id: token ids} of the rows that fit into `limit` positions."""
    rendered: dict[str, Sequence[int]] = {}
    for row in rows:
        try:
            rendered[row.id] = array("i", render(row, limit))
        except DataError:  # too long, so it gets no score
            continue
    return rendered


def _completion(loaded: Loaded, prompt: Prompt, ids: list[int], ends: AbstractSet[int]) -> Completion:
    # After its end, a row is filled with padding until the longest row of the batch ends. So the answer is only what
    # comes before the first end.
    stop = next((place for place, token in enumerate(ids) if token in ends), None)
    finished, kept = stop is not None, ids[:stop]
    return Completion(
        id=prompt.id,
        sample=prompt.sample,
        text=loaded.renderer.text(kept),
        finished=finished,
        tokens=len(kept) + finished,
    )
