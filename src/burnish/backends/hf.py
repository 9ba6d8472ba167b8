"""Runs models with transformers: answers, log-probabilities and comparisons. Training is in train.py and dpo.py.

Axes: B is the rows of a batch, T the token positions, V the vocabulary, and N the tokens that have a target.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import LogitsProcessorList

from burnish.backends import Progress
from burnish.backends.batching import plan_batches
from burnish.backends.device import Runtime, choose_device, set_threads
from burnish.backends.dpo import PreferenceTraining
from burnish.backends.export import export
from burnish.backends.load import Loaded, load, max_positions
from burnish.backends.render import Tokens
from burnish.backends.sampling import InverseCdf
from burnish.backends.train import Training
from burnish.config import Decoding, Execution, ModelConfig, Objective, TrainSettings
from burnish.errors import DataError
from burnish.protocols import RowKey, SamplingKey, Score, Trained, row_key
from burnish.types import Artifact, Completion, PairRow, PreferenceRow, Prompt, TrainingRow

R = TypeVar("R")
J = TypeVar("J", PairRow, TrainingRow)
SMALL_MODEL = 10_000_000
"""Number of parameters. In smaller models Python's work in a step takes longer than the arithmetic, so large batches
are faster."""


class HfBackend:
    """The backend on transformers, PEFT and TRL."""

    def __init__(self, execution: Execution, progress: Progress, sources: Mapping[str, ModelConfig]) -> None:
        self.device = choose_device(execution.device)
        self.runtime = Runtime(device=self.device, execution=execution, progress=progress, sources=sources)
        set_threads(execution)
        self._loaded: tuple[str, Loaded] | None = None
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
        self._loaded = None  # two models in memory at once would double the peak memory
        return Training(Path(model.path), settings, seed, self.runtime).finetune(rows, into, checkpoints)

    def train_classifier(
        self, model: Artifact, rows: Sequence[tuple[PairRow, PairRow]], settings: TrainSettings, seed: int, into: Path
    ) -> int:
        """Train a two-way head (see train.py), and return the tokens of all epochs.

        The two orders of a pair share a batch.
        """
        self._loaded = None
        return Training(Path(model.path), settings, seed, self.runtime, classifier=True).learn_to_compare(rows, into)

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
        self._loaded = None
        return PreferenceTraining(Path(policy.path), settings, objective, seed, self.runtime).optimize(rows, into)

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
        ids = [loaded.renderer.prompt(prompt.messages, prompt.id) for prompt in prompts]
        limit = max_positions(loaded.model)
        for prompt, row in zip(prompts, ids, strict=True):
            if len(row) + settings.max_new_tokens > limit:
                raise DataError(
                    f"row {prompt.id}: a prompt of {len(row)} tokens and {settings.max_new_tokens} new ones, but at "
                    f"most {limit} fit; shorten or remove the row, or lower decode.max_new_tokens"
                )
        # Each beam is a row of its own, and the cache of keys and values grows until the last new token.
        lengths = [(len(row) + settings.max_new_tokens) * settings.beams for row in ids]
        keys = [row_key(prompt.id, prompt.sample) for prompt in prompts]
        for batch in self._batches("answering", lengths, keys, done, loaded):
            chosen = [prompts[i] for i in batch]
            yield self._answer(loaded, chosen, [ids[i] for i in batch], settings, key)

    def _answer(
        self, loaded: Loaded, prompts: Sequence[Prompt], ids: Sequence[list[int]], settings: Decoding, key: SamplingKey
    ) -> list[Completion]:
        longest = max(len(row) for row in ids)
        pad = loaded.renderer.tokenizer.pad_token_id
        # The padding is on the left, so that all rows continue at the same position, after the last column.
        input_BT = torch.tensor([[pad] * (longest - len(row)) + row for row in ids], device=self.device)
        mask_BT = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids], device=self.device)
        processors = LogitsProcessorList()
        # The processor draws a token and hides all others, so that greedy search takes the drawn one. The library's own
        # sampling would depend on the batch, because it draws for all rows from one generator.
        if settings.temperature > 0:
            processors.append(InverseCdf(key, prompts, longest, settings.temperature))
        with torch.inference_mode():
            output_BT = loaded.model.generate(
                input_ids=input_BT,
                attention_mask=mask_BT,
                max_new_tokens=settings.max_new_tokens,
                num_beams=settings.beams,
                do_sample=False,
                logits_processor=processors,
            )
        return [
            _completion(loaded, prompt, row)
            for prompt, row in zip(prompts, output_BT[:, longest:].tolist(), strict=True)
        ]

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of log p(completion and end | prompt) in nats, summed over the tokens.

        The logits are turned into log-probabilities in float32. Raises DataError with the row's id if a row does not
        fit into the model.
        """
        loaded = self._load(model)
        tokens = [loaded.renderer.row(row, max_positions(loaded.model)) for row in rows]
        keys = [row.id for row in rows]
        for batch in self._batches("scoring", [len(row.ids) for row in tokens], keys, done, loaded):
            values = self._logprobs(loaded, [tokens[i] for i in batch])
            yield [
                Score(id=keys[i], value=value, tokens=len(tokens[i].ids) - tokens[i].prompt_length)
                for i, value in zip(batch, values, strict=True)
            ]

    def _logprobs(self, loaded: Loaded, rows: Sequence[Tokens]) -> list[float]:
        input_BT, mask_BT = self._right_padded(loaded, [row.ids for row in rows])
        longest = input_BT.shape[1]
        # The logits at position t predict the token at t + 1. So targets lose their first column, logits their last.
        target_BT = torch.tensor([row.labels + [-100] * (longest - len(row.ids)) for row in rows], device=self.device)[
            :, 1:
        ]
        with torch.inference_mode():
            logits_BTV = loaded.model(input_ids=input_BT, attention_mask=mask_BT, use_cache=False).logits[:, :-1]
            supervised_BT = target_BT != -100
            # Only positions with a target are used, because the vocabulary is by far the largest axis.
            losses_N = torch.nn.functional.cross_entropy(
                logits_BTV[supervised_BT].float(), target_BT[supervised_BT], reduction="none"
            )
            # The sum is taken in float64 on the CPU: MPS has no float64, and on CUDA `index_add_` adds in an order that
            # changes from run to run.
            sums_B = torch.zeros(len(rows), dtype=torch.float64, device="cpu")
            row_N = supervised_BT.nonzero()[:, 0].cpu()
            sums_B.index_add_(
                0, row_N, -losses_N.double().cpu() if self.device.type != "mps" else -losses_N.cpu().double()
            )
        return sums_B.tolist()

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
        rendered: Mapping[str, list[int]],
        done: AbstractSet[RowKey],
        value: Callable[[torch.Tensor], torch.Tensor],
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of scores. `value` turns a head's outputs (in float32) into one value for each row."""
        keys, ids = list(rendered), list(rendered.values())
        for batch in self._batches(label, [len(row) for row in ids], keys, done, loaded):
            # The padding is on the right, as in training. transformers reads the head at the last token that is not the
            # pad token.
            input_BT, mask_BT = self._right_padded(loaded, [ids[i] for i in batch])
            with torch.inference_mode():
                value_B = value(loaded.model(input_ids=input_BT, attention_mask=mask_BT).logits.float()).tolist()
            yield [Score(id=keys[i], value=one, tokens=len(ids[i])) for i, one in zip(batch, value_B, strict=True)]

    def export(self, model: Artifact, into: Path, merge: bool = False) -> None:
        """Write the weights, the tokenizer and a program that tries the model (see export.py)."""
        self._loaded = None
        export(Path(model.path), into, self.runtime.sources, merge)

    def _right_padded(self, loaded: Loaded, ids: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest, pad = max(len(row) for row in ids), loaded.renderer.tokenizer.pad_token_id
        input_BT = torch.tensor([row + [pad] * (longest - len(row)) for row in ids], device=self.device)
        mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=self.device)
        return input_BT, mask_BT

    def _batches(
        self, label: str, lengths: Sequence[int], keys: Sequence[str], done: AbstractSet[str], loaded: Loaded
    ) -> Iterator[list[int]]:
        batches = list(plan_batches(lengths, self.batch_tokens(loaded.model)))
        # If one row of a batch is missing, the whole batch is done again. In a smaller batch the logits would be a
        # little different, so a resumed run would have other results.
        missing = [batch for batch in batches if not all(keys[i] in done for i in batch)]
        # Finished batches count as done from the start. They take no time, so the bar's estimate of the remaining time
        # would otherwise be too short.
        self.runtime.progress.start(label, len(keys), len(keys) - sum(map(len, missing)))
        for batch in missing:
            yield batch
            self.runtime.progress.advance(len(batch))

    def batch_tokens(self, model: Any) -> int:
        """Return how many padded tokens a batch may have. The defaults were the fastest in measurements on 2 cores
        (see benchmarks/backend.py)."""
        if self.runtime.execution.batch_tokens != "auto":
            return self.runtime.execution.batch_tokens
        if sum(parameter.numel() for parameter in model.parameters()) < SMALL_MODEL:
            return 32_768
        return 4_096 if self.device.type == "cpu" else 65_536

    def _load(self, model: Artifact) -> Loaded:
        if self._loaded is None or self._loaded[0] != model.path:
            # The old model is dropped first, so that there are never two of them in memory.
            self._loaded = None
            self._loaded = (model.path, load(Path(model.path), self.device, self.runtime.sources))
        return self._loaded[1]


def _fitting(rows: Sequence[J], render: Callable[[J, int], list[int]], limit: int) -> dict[str, list[int]]:
    """Return {id: token ids} of the rows that fit into `limit` positions."""
    rendered: dict[str, list[int]] = {}
    for row in rows:
        try:
            rendered[row.id] = render(row, limit)
        except DataError:  # too long, so it gets no score
            continue
    return rendered


def _completion(loaded: Loaded, prompt: Prompt, ids: list[int]) -> Completion:
    # After its end, a row is filled with padding until the longest row of the batch ends. So the answer is only what
    # comes before the first end.
    stop = next((place for place, token in enumerate(ids) if token in loaded.renderer.ends), None)
    finished, kept = stop is not None, ids[:stop]
    return Completion(
        id=prompt.id,
        sample=prompt.sample,
        text=loaded.renderer.text(kept),
        finished=finished,
        tokens=len(kept) + finished,
    )
