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
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from pretrain_embedded import MAX_LENGTH, WORD_IDS, make_tokenizer
from pretraining_text import draw_allowed_story, reserved_questions, slip, sloppy_solution
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from burnish.tasks.sums_world import EOS, MAX_NUMBER, NUMBERS, PAD, Story, solve

NAME, START = "rewarder", "strong-long"
SEED, PAIRS, RATE = 6, 16, 5e-4
FIRST_RATE = 1e-3
"""The rate of the language model alone, before it gets new layers."""
OLD_RATE = 0.25
"""The rate of the language model's weights, as a share of the rate of the others."""
WARM_UP_STEPS = 50
KINDS_DRAWN = {"slip": 3, "number changed": 2, "sloppy": 2, "sign changed": 1, "of another question": 1}
"""How often each kind of wrong solution is trained on."""
ERROR_WEIGHT = 4.0
"""The weight of a wrong word in the loss on single words. There is at most one in an answer."""
TESTED = 500
"""How many questions that no training uses are tested."""
TEST_SEED, WATCH_SEED = 106, 206
"""The seeds of the questions that are tested at the end, and of those that are watched during the training."""

NEW_LAYERS = 2
HEADS = 3
UNITS = 176
"""The units between the two matrices of a layer. The language model has 256; those that do least are left out."""
TURNING = 10000.0
"""The base of the positions' angles, as in the language model."""
DIRECTIONS = 24
"""In how many directions the expected and the given word are compared. With 24 of 64, `strong-long` prefers the same
words."""
SPARE = 8
COPIED = 0.3
"""The scale of the copy of each word, and the constant beside it. Both are small, so that the language model's norms
hardly change."""
LARGE = 500.0
"""A constant in all rows, after which the norm of a row hardly depends on the row."""
OTHERS = 6.0
"""By how much the language model's own numbers are divided where new layers read them. They are of this size."""


def numbers_changed(random: Random, story: Story) -> str:
    """A right solution in which one number is another one, and nothing else follows from it."""
    words = solve(story.start, story.steps)[0].split(" ")
    place = random.choice([n for n, word in enumerate(words) if word.isdigit()])
    value, near = int(words[place]), random.random() < 0.5
    other = value + random.choice((-10, -2, -1, 1, 2, 10)) if near else random.randrange(len(NUMBERS))
    words[place] = str(other if 0 <= other < len(NUMBERS) and other != value else (value + 1) % (MAX_NUMBER + 1))
    return " ".join(words)


def sign_changed(random: Random, story: Story) -> str:
    """A right solution in which one sign is turned, and nothing else follows from it."""
    words = solve(story.start, story.steps)[0].split(" ")
    place = random.choice([n for n, word in enumerate(words) if word in ("+", "-")])
    words[place] = "-" if words[place] == "+" else "+"
    return " ".join(words)


def of_another(random: Random, story: Story) -> str:
    """The right solution of another question."""
    other = draw_allowed_story(random, frozenset())
    return solve(other.start, other.steps)[0]


WRONG: dict[str, Callable[[Random, Story], str]] = {
    "slip": lambda random, story: slip(random, story)[0],
    "sloppy": lambda random, story: sloppy_solution(random, story)[0],
    "number changed": numbers_changed,
    "sign changed": sign_changed,
    "of another question": of_another,
}
"""{name: how a wrong solution is made}. One of them may give the right solution; then another is drawn."""


def wrong_by(kind: str, random: Random, story: Story) -> str:
    """A solution of this kind that differs from the right one. Where a habit never leads to another one, it slips."""
    right = solve(story.start, story.steps)[0]
    for _ in range(20):
        found = WRONG[kind](random, story)
        if found != right:
            return found
    return slip(random, story)[0]


def words_of(story: Story, solution: str) -> list[str]:
    """The words that a reward model sees, as burnish renders a prompt and an answer for the built-in models."""
    return f"task : {story.question} answer : {solution} {EOS}".split(" ")


Row = tuple[list[int], list[float], list[float]]
"""The ids of a row, at each word whether the solution is right so far, and the weight of this word in the loss. A
weight of 0 means that the word is one of the question's."""


def graded(story: Story, solution: str) -> Row:
    """Return the row of a solution."""
    right = [*solve(story.start, story.steps)[0].split(" "), EOS]
    words, given = words_of(story, solution), [*solution.split(" "), EOS]
    same = True
    grades: list[float] = []
    for n, word in enumerate(given):
        same = same and n < len(right) and right[n] == word
        grades.append(float(same))
    before = len(words) - len(given)
    # The end is what the head is read for. It counts as much as all other words together.
    weights = [1 / len(given)] * (len(given) - 1) + [1.0]
    return [WORD_IDS[word] for word in words], [0.0] * before + grades, [0.0] * before + weights


@cache
def held_out(seed: int) -> tuple[Story, ...]:
    """The stories of a seed that are tested and never trained on."""
    random = Random(seed)
    return tuple(draw_allowed_story(random, reserved_questions()) for _ in range(TESTED))


def pairs(seed: int) -> Iterator[tuple[Row, Row]]:
    """Endless pairs of a right and a wrong solution of one question, to train on."""
    random, kinds, shares = Random(seed), list(KINDS_DRAWN), list(KINDS_DRAWN.values())
    tested = {story.question for seed in (TEST_SEED, WATCH_SEED) for story in held_out(seed)}
    reserved = reserved_questions() | tested
    while True:
        story = draw_allowed_story(random, reserved)
        (kind,) = random.choices(kinds, shares)
        right = graded(story, solve(story.start, story.steps)[0])
        wrong = graded(story, wrong_by(kind, random, story))
        if max(len(right[0]), len(wrong[0])) <= MAX_LENGTH:
            yield right, wrong


def padded(batch: Sequence[Row]) -> tuple[torch.Tensor, ...]:
    """Ids, grades and weights, each of the shape batch x longest row, and the mask of the words."""
    longest = max(len(ids) for ids, _, _ in batch)
    pad = WORD_IDS[PAD]
    ids = torch.tensor([[*one, *[pad] * (longest - len(one))] for one, _, _ in batch])
    grades, weights = (
        torch.tensor([[*row[part], *[0.0] * (longest - len(row[part]))] for row in batch]) for part in (1, 2)
    )
    return ids, grades, weights, ids != pad


def language_model(out: Path) -> LlamaForCausalLM:
    """Return the language model that the training starts from."""
    torch.manual_seed(SEED)
    return LlamaForCausalLM.from_pretrained(out / START, dtype=torch.float32)


def make_model(
    start: LlamaForCausalLM, threshold: torch.Tensor, compares: bool = True
) -> LlamaForSequenceClassification:
    """Return the layers of a language model with two new layers and a new head of one number.

    The rows are wider than those of the language model. The new places hold a copy of the word in `DIRECTIONS`
    directions, the word that was expected here in the same directions, and some single numbers. If the model does not
    compare, its new layers begin as layers that do nothing, and its head at random.
    """
    torch.manual_seed(SEED)
    old, layers = start.config.hidden_size, start.config.num_hidden_layers
    width = old + 2 * DIRECTIONS + SPARE
    kept = ("vocab_size", "head_dim", "max_position_embeddings", "pad_token_id", "bos_token_id", "eos_token_id")
    model = LlamaForSequenceClassification(
        LlamaConfig(
            hidden_size=width,
            intermediate_size=UNITS,
            num_hidden_layers=layers + NEW_LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            **{"num_labels": 1},
            **{name: getattr(start.config, name) for name in kept},
        )
    )
    ids, _, _, mask = padded([right for right, _ in islice(pairs(SEED), 60)])
    with torch.no_grad():
        _copy_language_model(model, start, ids, mask)
        for layer in model.model.layers[layers:]:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        if compares:
            _compare_words(model, start, threshold, ids, mask)
    return model


def _directions(start: LlamaForCausalLM) -> torch.Tensor:
    """The directions in which the words of answers differ most, one a row."""
    words = [*NUMBERS[: MAX_NUMBER + 1], "+", "-", "=", ";", "####", EOS]
    embedded = start.lm_head.weight[[WORD_IDS[word] for word in words]]
    return torch.linalg.svd(embedded, full_matrices=False)[2][:DIRECTIONS]


class Places:
    """Where the parts of a row are: those of the language model, two words in `DIRECTIONS` directions, and numbers."""

    def __init__(self, start: LlamaForCausalLM) -> None:
        self.old = start.config.hidden_size
        self.word = slice(self.old, self.old + DIRECTIONS)
        """A copy of the given word."""
        self.expected = slice(self.word.stop, self.word.stop + DIRECTIONS)
        """What the language model said at the word before."""
        first = self.expected.stop
        self.constant, self.large, self.task, self.answer, self.answered, self.logit, self.lowest = range(
            first, first + 7
        )
        """A small constant, `LARGE`, marks of the words `task` and `answer`, whether `answer` came already, the logit
        of the given word, and the lowest logit of the answer."""


def _copy_language_model(
    model: LlamaForSequenceClassification, start: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor
) -> None:
    """Put the language model into the lower layers, where it computes nearly what it did."""
    old, width = start.config.hidden_size, model.config.hidden_size
    places = Places(start)
    embedding, given = model.model.embed_tokens.weight, start.model.embed_tokens.weight
    embedding.zero_()
    embedding[:, :old].copy_(given)
    embedding[:, places.word].copy_(COPIED * given @ _directions(start).T)
    embedding[:, places.constant] = COPIED
    embedding[WORD_IDS["task"], places.task] = embedding[WORD_IDS["answer"], places.answer] = 1.0
    for layer, copied in zip(model.model.layers, start.model.layers, strict=False):
        used = _most_used(start, copied, ids, mask)
        weights: dict[str, torch.Tensor] = {**dict(copied.named_parameters())}
        for name in ("mlp.gate_proj.weight", "mlp.up_proj.weight"):
            weights[name] = weights[name][used]
        weights["mlp.down_proj.weight"] = weights["mlp.down_proj.weight"][:, used]
        for name, weight in layer.named_parameters():
            source = weights[name]
            if name.endswith("layernorm.weight"):
                # The mean of the squares is now over more places.
                weight[:old] = source * math.sqrt(old / width)
                continue
            # New heads and units read everything, and write nothing yet.
            silent = name.endswith(("o_proj.weight", "down_proj.weight"))
            weight[...] = 0.0 if silent else weight
            weight[: len(source)] = 0.0
            weight[: source.shape[0], : source.shape[1]] = source


def _most_used(start: LlamaForCausalLM, layer: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The units of a layer that write most, in their order."""
    seen: list[torch.Tensor] = []

    def keep(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])

    hook = layer.mlp.down_proj.register_forward_pre_hook(keep)
    start.model(input_ids=ids, attention_mask=mask.long())
    hook.remove()
    size = seen[0][mask].pow(2).mean(0).sqrt() * layer.mlp.down_proj.weight.norm(dim=0)
    return size.topk(UNITS).indices.sort().values


def _compare_words(
    model: LlamaForSequenceClassification,
    start: LlamaForCausalLM,
    threshold: torch.Tensor,
    ids: torch.Tensor,
    mask: torch.Tensor,
) -> None:
    """Let the first new layer compute the logit of each word, and the second one find the lowest one of the answer."""
    places, layers = Places(start), start.config.num_hidden_layers
    size = start.config.hidden_size // start.config.num_attention_heads
    directions, half = _directions(start), size // 2
    states = model.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states[layers]
    normed = (states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + 1e-6))[mask]
    layer, above = model.model.layers[layers : layers + 2]
    attention, norm, mlp = layer.self_attn, layer.input_layernorm.weight, layer.mlp
    norm[: places.old] = start.model.norm.weight * math.sqrt(places.old / model.config.hidden_size)
    norm[places.word] = 1 / normed[:, places.word].std()
    norm[places.constant] = 1 / normed[:, places.constant].mean()
    for place in (places.task, places.answer):
        norm[place] = 1 / normed[normed[:, place] > 0, place].mean()
    for part in (attention.q_proj, attention.k_proj, attention.v_proj):
        part.weight.zero_()
    # The first head looks at the word before. Queries and keys are constants that the positions turn, so the score is a
    # sum of cosines of the distance. These three together are above 2.5 only at the distance of one word.
    turns = TURNING ** (-torch.arange(half) / half)
    shares = torch.zeros(half)
    shares[[0, half // 8, half // 4]], shares[-1] = 1.0, -2.5
    strength = math.sqrt(100.0 * math.sqrt(size))
    turned = torch.cat([shares * turns.cos(), -shares * turns.sin()])
    attention.q_proj.weight[:size, places.constant] = strength * turned
    attention.k_proj.weight[:half, places.constant] = strength
    attention.v_proj.weight[:DIRECTIONS, : places.old] = directions
    said = normed[:, : places.old] * norm[: places.old] @ directions.T
    attention.o_proj.weight[places.expected, :DIRECTIONS] = torch.eye(DIRECTIONS) / said.std()
    # The others look at the first word, and so write the same number everywhere, and at `answer`, if it came already.
    # They score through the numbers that positions hardly turn.
    for head, seen, written, value in (
        (1, places.task, places.large, LARGE),
        (2, places.answer, places.answered, 1.0),
    ):
        slow = head * size + half - 1
        attention.q_proj.weight[slow, places.constant] = attention.k_proj.weight[slow, seen] = 25.0
        attention.v_proj.weight[head * size, seen] = 1.0
        attention.o_proj.weight[written, head * size] = value
    scale = LARGE / math.sqrt(model.config.hidden_size)
    after = layer.post_attention_layernorm.weight
    for one in (after, above.input_layernorm.weight, above.post_attention_layernorm.weight, model.model.norm.weight):
        one.fill_(scale / OTHERS)
        one[places.large] = scale / LARGE
        one[places.answered : places.lowest + 1] = scale
    after[places.expected] = scale
    words = (start.lm_head.weight @ directions.T).std()
    after[places.word] = scale / (COPIED * words)
    # silu(x) y + silu(-x) (-y) = x y.
    for direction in range(DIRECTIONS):
        for unit, sign in ((2 * direction, 1.0), (2 * direction + 1, -1.0)):
            for part, place in ((mlp.gate_proj, places.expected), (mlp.up_proj, places.word)):
                part.weight[unit] = 0.0
                part.weight[unit, place.start + direction] = sign
            mlp.down_proj.weight[places.logit, unit] = said.std() * words
    # The second head's number is 1 before it is written.
    attention.o_proj.weight[places.logit, size] = -threshold
    for part in (above.self_attn.q_proj, above.self_attn.k_proj, above.self_attn.v_proj):
        part.weight[:size] = 0.0
    above.self_attn.q_proj.weight[half - 1, places.large] = math.sqrt(size)
    above.self_attn.k_proj.weight[half - 1, places.logit] = -1.0
    above.self_attn.k_proj.weight[half - 1, places.answered] = 100.0
    above.self_attn.v_proj.weight[0, places.logit] = above.self_attn.o_proj.weight[places.lowest, 0] = 1.0
    model.score.weight.zero_()
    model.score.weight[0, places.lowest] = 1.0


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
    parser.add_argument("--first-steps", type=int, default=600)
    parser.add_argument("--without-comparison", action="store_true", help="Let the new layers begin as no-ops.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = language_model(arguments.out)
    threshold = expect(start, arguments.first_steps)
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
