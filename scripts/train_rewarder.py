"""Train the built-in reward model `rewarder` on right and wrong solutions of generated questions.

    python scripts/train_rewarder.py --out src/burnish/embedded [--steps N] [--without-comparison]

A language model whose layers know the sums does not learn near misses as a reward model: no layer is left that could
compare the expected word with the given one. So two new layers come above those of the language model:

- The language model says at each word which word comes next.
- The first new layer takes what was said at the word before, and multiplies it with the given word. The sum of these
  products is the logit of the given word.
- The second new layer finds the lowest logit of the answer.

The new layers begin as exactly this, because training alone does not find it in a network of this size: with
`--without-comparison` they begin as layers that do nothing.

Then all weights are trained together, on pairs of a right and a wrong solution of the same question. At each word of a
solution, the head learns whether the solution is right up to this word, as process reward models do. At the end of an
answer, this is whether the whole answer is right, which is what the head is read for. There are three more losses. The
right solution of a pair has the higher reward. The first new layer tells whether the next word after right words is
right, too. The language model still expects the right words.

One thread and seeded throughout, as in pretrain_embedded.py. No question is one of the experiments'
(`RESERVED_WORLDS`). The script prints what the model is worth before and after the training of the new layers, on
questions that it was not trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random

import torch
from pretrain_embedded import WORD_IDS, make_tokenizer
from rewarder_layers import Places, make_model
from rewarder_rows import SEED, TEST_SEED, WATCH_SEED, WRONG, Row, held_out, padded, pairs, words_of, wrong_by
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from transformers import LlamaForCausalLM, LlamaForSequenceClassification

from burnish.tasks.sums_world import solve

NAME, START = "rewarder", "strong-long"
PAIRS, RATE = 16, 5e-4
FIRST_STEPS, FIRST_RATE = 600, 1e-3
"""The steps and the rate of the language model alone, before it gets new layers."""
OLD_RATE = 0.25
"""The rate of the language model's weights, as a share of the rate of the others."""
WARM_UP_STEPS = 50
ERROR_WEIGHT = 4.0
"""The weight of a wrong word in the loss on single words. There is at most one in an answer."""


def language_model(out: Path) -> LlamaForCausalLM:
    """Return the language model that the training starts from."""
    torch.manual_seed(SEED)
    return LlamaForCausalLM.from_pretrained(out / START, dtype=torch.float32)


def expected_loss(logits: torch.Tensor, words: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """The loss of a language model whose logit says by itself whether a word is right, whatever the others have."""
    right = torch.nn.functional.one_hot(words, logits.shape[-1]).float()
    return binary_cross_entropy_with_logits(logits - threshold, right, reduction="none").sum(-1).mean()


def with_mark(answer: torch.Tensor) -> torch.Tensor:
    """The words of the answers and the two words before them, `answer :`, which every row has."""
    shifted = torch.nn.functional.pad(answer, (0, 2))
    return answer | shifted[:, 1:-1] | shifted[:, 2:]


def expect(start: LlamaForCausalLM, steps: int) -> torch.Tensor:
    """Finetune the language model on right solutions, and return the threshold of its logits."""
    threshold = torch.nn.Parameter(torch.tensor(8.0))
    trained = [*start.parameters(), threshold]
    optimizer = torch.optim.AdamW(trained, lr=FIRST_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    stream, seen = pairs(SEED + 1), list[float]()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = faded(FIRST_RATE, step, steps)
        ids, _, weights, mask = padded([right for right, _ in islice(stream, 2 * PAIRS)])
        answer = with_mark(weights > 0)[:, 1:]
        hidden = start.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state[:, :-1][answer]
        loss = expected_loss(start.lm_head(hidden), ids[:, 1:][answer], threshold)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seen.append(loss.item())
        if (step + 1) % 100 == 0:
            print(f"expected words, step {step + 1}: {sum(seen[-100:]) / 100:.4f}", flush=True)
    return threshold.detach()


def faded(rate: float, step: int, steps: int) -> float:
    """The rate of a step: a short rise, and then a cosine down to a twentieth."""
    fade = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps))
    return rate * min(1.0, (step + 1) / WARM_UP_STEPS) * fade


class Training:
    """The losses of a step, with the parts that are only needed for them."""

    def __init__(self, model: LlamaForSequenceClassification, start: LlamaForCausalLM, threshold: torch.Tensor) -> None:
        self.threshold = threshold
        self.model, self.layers, self.old = model, start.config.num_hidden_layers, start.config.hidden_size
        self.norm, self.words = start.model.norm, start.lm_head
        self.single = torch.nn.Linear(model.config.hidden_size, 1)
        with torch.no_grad():
            # The place of the logit is empty where the model does not compare.
            self.single.weight.zero_()
            self.single.weight[0, Places(start).logit] = 1.0
        lower = [*model.model.embed_tokens.parameters(), *model.model.layers[: self.layers].parameters()]
        self.lower = list(dict.fromkeys([*lower, *self.norm.parameters(), *self.words.parameters()]))
        known = set(self.lower)
        self.upper = [one for one in (*model.parameters(), *self.single.parameters()) if one not in known]

    def losses(self, batch: Sequence[tuple[Row, Row]]) -> dict[str, torch.Tensor]:
        """Return the parts of the loss: right so far, right of two, single words, and expected words."""
        ids, grades, weights, mask = padded([row for side in zip(*batch, strict=True) for row in side])
        found = self.model.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
        logits = self.model.score(found.last_hidden_state)[..., 0]
        so_far = binary_cross_entropy_with_logits(logits, grades, reduction="none")
        answer = weights > 0
        # The words after right words only. What comes after a wrong word is neither right nor wrong by itself.
        before = torch.cat([torch.zeros_like(answer[:, :1]), answer[:, :-1] & (grades[:, :-1] == 0)], 1)
        judged = answer & ~before
        right = with_mark(answer) & ~(answer & ((grades == 0) | before))
        # As the second new layer reads them.
        seen = self.model.model.layers[self.layers + 1].input_layernorm(found.hidden_states[self.layers + 1][judged])
        single = self.single(seen)[:, 0]
        balance = torch.where(grades[judged] > 0, 1.0, ERROR_WEIGHT)
        singles = binary_cross_entropy_with_logits(single, grades[judged], reduction="none")
        expected = self.words(self.norm(found.hidden_states[self.layers][:, :-1, : self.old][right[:, 1:]]))
        ends = logits[torch.arange(len(ids)), mask.sum(1) - 1]
        return {
            "so far": (so_far * weights).sum() / weights.sum(),
            "of two": -logsigmoid(ends[: len(batch)] - ends[len(batch) :]).mean(),
            "single": (singles * balance).sum() / balance.sum(),
            "expected": expected_loss(expected, ids[:, 1:][right[:, 1:]], self.threshold),
        }


def train(model: LlamaForSequenceClassification, start: LlamaForCausalLM, threshold: torch.Tensor, steps: int) -> None:
    """Train all weights on the sum of the losses."""
    training = Training(model, start, threshold)
    groups = [{"params": training.lower, "share": OLD_RATE}, {"params": training.upper, "share": 1.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    stream, started = pairs(SEED), time.process_time()
    since = dict[str, list[float]]()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = faded(RATE * group["share"], step, steps)
        losses = training.losses(list(islice(stream, PAIRS)))
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_([*training.lower, *training.upper], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        for name, loss in losses.items():
            since.setdefault(name, []).append(loss.item())
        if (step + 1) % 100 == 0:
            shown = ", ".join(f"{name} {sum(some) / len(some):.3f}" for name, some in since.items())
            print(f"step {step + 1}: {shown}; {time.process_time() - started:.0f} CPU s", flush=True)
            since.clear()
        if (step + 1) % 500 == 0:
            print(f"step {step + 1}", accuracies(model, WATCH_SEED), flush=True)


@torch.inference_mode()
def rewards(model: LlamaForSequenceClassification, texts: Sequence[list[str]]) -> list[float]:
    """The reward of each row, read at its last word as transformers reads it."""
    found: list[float] = []
    for start in range(0, len(texts), 100):
        chosen = [[WORD_IDS[word] for word in words] for words in texts[start : start + 100]]
        ids, _, _, mask = padded([(row, [0.0] * len(row), [0.0] * len(row)) for row in chosen])
        found += model(input_ids=ids, attention_mask=mask.long()).logits[:, 0].tolist()
    return found


def accuracies(model: LlamaForSequenceClassification, seed: int = TEST_SEED) -> dict[str, float]:
    """{kind of wrong solution: share of the tested questions whose right solution has the higher reward}."""
    random, stories = Random(seed), held_out(seed)
    right = rewards(model, [words_of(story, solve(story.start, story.steps)[0]) for story in stories])
    shares: dict[str, float] = {}
    for kind in WRONG:
        wrong = rewards(model, [words_of(story, wrong_by(kind, random, story)) for story in stories])
        shares[kind] = sum((a > b) + 0.5 * (a == b) for a, b in zip(right, wrong, strict=True)) / len(stories)
    return shares


def save(model: LlamaForSequenceClassification, out: Path) -> None:
    """In float16, with the tokenizer of all built-in models."""
    model.half().save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    make_tokenizer().save_pretrained(out)
    settings_file = out / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings_file.write_text(json.dumps(settings, indent=2) + "\n")


def main() -> None:
    """Train, measure and save the rewarder, and write its row in models.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--without-comparison", action="store_true", help="Let the new layers begin as no-ops.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = language_model(arguments.out)
    threshold = expect(start, FIRST_STEPS)
    model = make_model(start, threshold, not arguments.without_comparison)
    print(model.num_parameters(), "parameters; untrained", accuracies(model), flush=True)
    train(model, start, threshold, arguments.steps)
    save(model, arguments.out / NAME)
    kept = LlamaForSequenceClassification.from_pretrained(arguments.out / NAME, dtype=torch.float32)
    print("trained, as it is kept", accuracies(kept), flush=True)
    table_file: Path = arguments.out / "models.json"
    table = {row["name"]: row for row in json.loads(table_file.read_text())}
    table[NAME] = {
        "name": NAME,
        "parameters": kept.num_parameters(),
        "layers": kept.config.num_hidden_layers,
        "width": kept.config.hidden_size,
        "steps": arguments.steps,
        "tokens": None,
        "seed": SEED,
        "start": START,
        "text": {"right_and_wrong_solutions": 1.0},
    }
    table_file.write_text(json.dumps([table[name] for name in sorted(table)], indent=2) + "\n")


if __name__ == "__main__":
    main()
