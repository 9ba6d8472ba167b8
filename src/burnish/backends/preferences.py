"""The loss of preference training on the passes of transformers' Trainer.

Axes: P is the pairs of a pass, B its rows (the chosen answers of all pairs, then the rejected ones), T the token
positions, V the vocabulary, and N the supervised positions. All log-probabilities are in nats, and are sums over an
answer and its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy, logsigmoid
from transformers import TrainerCallback

from burnish.backends.render import Tokens
from burnish.backends.supervised import Supervised, batch_of
from burnish.config import Loss, Objective
from burnish.protocols import TrainingPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTokens:
    """A preference as token ids. Both answers include the token that ends an answer."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def rows(self) -> tuple[Tokens, Tokens]:
        """The two rows of a forward pass: with the chosen answer, and with the rejected one."""
        start = len(self.prompt)
        return Tokens(self.prompt + self.chosen, start), Tokens(self.prompt + self.rejected, start)

    @property
    def longest(self) -> int:
        """The number of tokens of the longer row (prompt and answer)."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))

    @property
    def total(self) -> int:
        """The number of tokens of both rows together. The prompt counts twice."""
        return 2 * len(self.prompt) + len(self.chosen) + len(self.rejected)


def losses(
    objective: Objective, chosen_P: torch.Tensor, rejected_P: torch.Tensor, length_2P: torch.Tensor
) -> torch.Tensor:
    """Return the loss of each pair.

    `chosen_P` and `rejected_P` are log-probabilities under the policy minus those under the reference. `length_2P` has
    the numbers of tokens of the chosen and of the rejected answers. `sigmoid` is Rafailov et al. (2023), eq. 7; `ipo`
    is Azar et al. (2024), eq. 17, on means over tokens; `cdpo` is Mitchell (2023); `rdpo` is Chowdhury et al. (2024),
    eq. 12.
    """
    margin_P, eps = objective.beta * (chosen_P - rejected_P), objective.flip_rate
    match objective.loss:
        case Loss.SIGMOID:
            return -logsigmoid(margin_P)
        case Loss.IPO:
            return (chosen_P / length_2P[0] - rejected_P / length_2P[1] - 1 / (2 * objective.beta)) ** 2
        case Loss.CDPO:
            return -(1 - eps) * logsigmoid(margin_P) - eps * logsigmoid(-margin_P)
        case Loss.RDPO:
            return (-(1 - eps) * logsigmoid(margin_P) + eps * logsigmoid(-margin_P)) / (1 - 2 * eps)


def row_logprobs(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """Return log p(answer and end | prompt) of each row. `outputs` has the logits of the supervised positions."""
    target_BT = labels != -100
    logprob_N = -cross_entropy(outputs.logits[0].float(), labels[target_BT], reduction="none")
    # The sum goes over a matrix. On CUDA, `index_add_` would add in an order that changes from run to run.
    return logprob_N.new_zeros(labels.shape).masked_scatter(target_BT, logprob_N).sum(dim=1)


class PreferenceLoss:
    """Gives the trainer the batches of pairs and their loss.

    `supervised` holds what the model's forward pass left over of a batch.
    """

    def __init__(self, objective: Objective, pairs: Sequence[PairTokens], pad: int, supervised: Supervised) -> None:
        self.objective, self.pairs, self.pad, self.supervised = objective, pairs, pad, supervised
        self.reference_2P = torch.zeros(2, len(pairs))
        """Log-probabilities of all pairs under the reference."""
        self.sums = torch.zeros(5)
        """Sums since the last point of the curve: loss, chosen and rejected log-probability, margin, pairs."""

    def batch(self, pairs: Sequence[int], in_step: int = 1) -> dict[str, torch.Tensor]:
        """Return the batch of some pairs. `in_step` is the number of pairs of the whole step."""
        chosen = [self.pairs[place] for place in pairs]
        rows = [pair.rows[0] for pair in chosen] + [pair.rows[1] for pair in chosen]
        lengths = [[len(pair.chosen) for pair in chosen], [len(pair.rejected) for pair in chosen]]
        return batch_of(rows, self.pad) | {
            "reference": self.reference_2P[:, list(pairs)],
            "lengths": torch.tensor(lengths),
            "in_step": torch.tensor(in_step),
        }

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Return the loss of a pass: the sum over its pairs, divided by the number of pairs of the step."""
        held = self.supervised.held
        reference_2P = held["reference"]
        # An empty pass has one row, and no pair.
        logprob_2P = row_logprobs(outputs, labels)[: reference_2P.numel()].view(reference_2P.shape)
        chosen_P, rejected_P = logprob_2P - reference_2P
        loss_P = losses(self.objective, chosen_P, rejected_P, held["lengths"])
        with torch.no_grad():
            margin_P = self.objective.beta * (chosen_P - rejected_P)
            parts = [loss_P.sum(), *logprob_2P.sum(dim=1), margin_P.sum(), loss_P.new_tensor(len(loss_P))]
            self.sums = self.sums.to(loss_P.device) + torch.stack(parts)
        return loss_P.sum() / held["in_step"]

    def measure_reference(self, trainer: Any, passes: Sequence[Sequence[int]]) -> None:
        """Compute the log-probabilities under the reference, which is the model before its first step."""
        accelerator = trainer.accelerator
        found_2P = torch.zeros_like(self.reference_2P, device=accelerator.device)
        trainer.model.eval()
        # The processes share the passes, and the sum brings their parts together.
        for pairs in passes[accelerator.process_index :: accelerator.num_processes]:
            batch = {name: values.to(accelerator.device) for name, values in self.batch(pairs).items()}
            labels = batch.pop("labels")
            with torch.no_grad(), accelerator.autocast():
                found_2P[:, list(pairs)] = row_logprobs(trainer.model(**batch, use_cache=False), labels).view(2, -1)
        self.reference_2P = accelerator.reduce(found_2P, "sum").cpu()


class TakesPoints(TrainerCallback):
    """Takes a point of the training curve after every `every` steps. The values are means over the pairs since then."""

    def __init__(self, loss: PreferenceLoss, every: int) -> None:
        self.loss, self.every = loss, every
        self.points: list[TrainingPoint] = []
        self.accelerator: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take a point if it is time."""
        if state.global_step % self.every:
            return
        *sums, pairs = self.accelerator.reduce(self.loss.sums, "sum").tolist()
        self.loss.sums = torch.zeros(5)
        loss, chosen, rejected, margin = (one / pairs for one in sums)
        self.points.append(
            TrainingPoint(step=state.global_step, loss=loss, chosen_logp=chosen, rejected_logp=rejected, margin=margin)
        )
