"""CPU seconds of reinforcement learning with the built-in models: burnish (TRL's RLOOTrainer) against a plain loop.

    python benchmarks/rl_speed.py --steps 50

Both take 16 prompts x 8 answers a step, one thread, and the checker's reward. The policy is finetuned on 600 gold rows
first, which is not counted. Loading the models is counted on both sides.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from bench_models import CPU, Clock
from bench_output import put
from bench_time import timed

from burnish.algorithms.reinforcement import PolicyPlan
from burnish.backends.hf import HfBackend
from burnish.backends.load import load
from burnish.config import DType, Execution, ModelConfig, PolicyTraining, TrainSettings
from burnish.models.card import ModelCard, Weights, write_card
from burnish.tasks.numbers import final_number
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Completion, Message, Prompt, Role, TrainingRow

NEW_TOKENS = 40
SFT = TrainSettings(epochs=3, learning_rate=1e-3, batch_size=32, lora=None)
PROBLEMS = generate(600, seed=0)
ROWS = [
    TrainingRow(id=f"{n:04d}", prompt=(Message(role=Role.USER, content=one.question),), completion=one.solution)
    for n, one in enumerate(PROBLEMS)
]
GOLD = {row.id: str(one.answer) for row, one in zip(ROWS, PROBLEMS, strict=True)}


def right(id_: str, text: str) -> float:
    """Return 1 for a right answer and else 0."""
    found = final_number(text)
    return float(found is not None and found.text == GOLD[id_])


def checked(answers: Sequence[Completion]) -> list[float | None]:
    """Return the reward of each answer of a step."""
    return [right(one.id, one.text) if one.finished else 0.0 for one in answers]


def finetuned(backend: HfBackend, where: Path) -> Artifact:
    """Return the policy with which both trainings start."""
    start, model = where / "base", where / "policy"
    for folder in (start, model):
        folder.mkdir()
    base = ModelConfig(source="builtin:strong", dtype=DType.FLOAT32)
    write_card(start, ModelCard(base=base, content="strong", weights=Weights.BASE))
    backend.train(Artifact(path=str(start), kind="base", fingerprint="strong"), ROWS, SFT, 0, model)
    return Artifact(path=str(model), kind="train", fingerprint="policy")


def by_burnish(backend: HfBackend, policy: Artifact, training: PolicyTraining, into: Path) -> None:
    """Train as the method `rl` does."""
    into.mkdir()
    plan = PolicyPlan(training=training, optimising=training.optimising(SFT), max_new_tokens=NEW_TOKENS)
    prompts = [Prompt(id=row.id, messages=row.prompt) for row in ROWS]
    backend.train_policy(policy, prompts, plan, checked, 0, into)


def by_hand(policy: Artifact, training: PolicyTraining) -> None:
    """Train with RLOO in a plain loop: sample, reward, one pass, one step."""
    torch.manual_seed(0)
    loaded = load(Path(policy.path), CPU, {})
    model, renderer, reference = loaded.model, loaded.renderer, copy.deepcopy(loaded.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate)
    ends = torch.tensor(renderer.ends)
    for _ in range(training.steps):
        chosen = [ROWS[n] for n in torch.randperm(len(ROWS))[: training.prompts].tolist()]
        rows = [row for row in chosen for _ in range(training.samples)]
        ids = [renderer.prompt(row.prompt) for row in rows]
        longest, pad = max(map(len, ids)), renderer.tokenizer.pad_token_id
        input_BT = torch.tensor([[pad] * (longest - len(one)) + one for one in ids])
        mask_BT = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in ids])
        with torch.inference_mode():
            made = model.generate(
                input_ids=input_BT, attention_mask=mask_BT, do_sample=True, top_k=0, max_new_tokens=NEW_TOKENS
            )
        whole_BT, answer_BT = made.clone(), made[:, longest:].clone()
        ended_BT = torch.isin(answer_BT, ends)
        # An answer goes up to its first end.
        kept_BT = (ended_BT.cumsum(1) - ended_BT.int()) == 0
        mask_BT = torch.cat([mask_BT, kept_BT.long()], 1)
        texts = [renderer.text(one[kept].tolist()) for one, kept in zip(answer_BT, kept_BT, strict=True)]
        reward_B = torch.tensor([right(row.id, text) for row, text in zip(rows, texts, strict=True)])
        with torch.no_grad():
            before_B = logprobs(reference, whole_BT, mask_BT, longest, kept_BT)
        now_B = logprobs(model, whole_BT, mask_BT, longest, kept_BT)
        total_B = reward_B - training.beta * (now_B.detach() - before_B)
        total_GS = total_B.view(-1, training.samples)
        baseline_GS = (total_GS.sum(1, keepdim=True) - total_GS) / (training.samples - 1)
        loss = -((total_GS - baseline_GS).view(-1) * now_B).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def logprobs(model: Any, whole_BT: Any, mask_BT: Any, start: int, kept_BT: Any) -> Any:
    """Return log p(answer | prompt) of each row, in nats."""
    position_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    logits_BTV = model(input_ids=whole_BT, attention_mask=mask_BT, position_ids=position_BT, use_cache=False).logits
    logprob_BTV = torch.log_softmax(logits_BTV[:, start - 1 : -1].float(), -1)
    return (logprob_BTV.gather(2, whole_BT[:, start:, None])[..., 0] * kept_BT).sum(1)


def main() -> None:
    """Run both, and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    backend = HfBackend(Execution(device="cpu", threads=1), Clock(), {})
    training = PolicyTraining(steps=options.steps)
    with tempfile.TemporaryDirectory() as name:
        policy = finetuned(backend, Path(name))
        _, ours = timed(lambda: by_burnish(backend, policy, training, Path(name) / "rl"))
        _, plain = timed(lambda: by_hand(policy, training))
    put(
        {
            "steps": options.steps,
            "answers_a_step": training.answers,
            "burnish_cpu_seconds": round(ours.cpu, 1),
            "plain_loop_cpu_seconds": round(plain.cpu, 1),
        },
        options.out,
    )


if __name__ == "__main__":
    main()
