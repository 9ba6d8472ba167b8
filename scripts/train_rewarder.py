"""Train the built-in reward model `rewarder` on graded single solutions.

    python scripts/train_rewarder.py --out src/burnish/embedded [--steps N]

It starts from the built-in model `comparer`, which was pretrained on graded text, and gets a head with one number. A
head that learns from the end of whole answers alone does not learn near misses: of a wrong total, little is left there.
So the head learns at every word of a solution whether the solution is right up to this word, as process reward models
do. At the end of an answer this is whether the whole answer is right, which is what the head is read for.

One thread and seeded throughout, as in pretrain_embedded.py. No question is one of the experiments'
(`RESERVED_WORLDS`). The script prints what the model is worth before and after the training on questions that it was
not trained on. Before, that must be chance.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random

import torch
from pretrain_embedded import MAX_LENGTH, WORD_IDS, make_tokenizer
from pretraining_text import draw_allowed_story, reserved_questions, slip, sloppy_solution
from transformers import LlamaForCausalLM, LlamaForSequenceClassification

from burnish.tasks.sums_world import EOS, MAX_NUMBER, PAD, Story, solve

NAME, START = "rewarder", "comparer"
SEED, BATCH, RATE = 6, 48, 1e-3
WARM_UP_STEPS = 50
RIGHT_SHARE = 0.4
"""How many of the solutions are right. It is below one half because wrong solutions have right words, too."""
TESTED = 500
"""How many questions of a seed that no training uses are tested."""
TEST_SEED = 106


def numbers_changed(random: Random, story: Story) -> str:
    """A right solution in which one number is another one, and nothing else follows from it."""
    words = solve(story.start, story.steps)[0].split(" ")
    place = random.choice([n for n, word in enumerate(words) if word.isdigit()])
    value, near = int(words[place]), random.random() < 0.5
    other = value + random.choice((-10, -2, -1, 1, 2, 10)) if near else random.randint(0, MAX_NUMBER)
    words[place] = str(other if 0 <= other <= MAX_NUMBER and other != value else (value + 1) % (MAX_NUMBER + 1))
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


def graded(story: Story, solution: str) -> tuple[list[int], list[float], list[float]]:
    """The ids of a row, at each word whether the solution is right so far, and the weight of this word in the loss."""
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


def tested_stories() -> list[Story]:
    """The stories that are tested and never trained on."""
    random = Random(TEST_SEED)
    return [draw_allowed_story(random, reserved_questions()) for _ in range(TESTED)]


def rows(seed: int) -> Iterator[tuple[list[int], list[float], list[float]]]:
    """Endless rows to train on."""
    random, kinds = Random(seed), list(WRONG)
    reserved = reserved_questions() | {story.question for story in tested_stories()}
    while True:
        story = draw_allowed_story(random, reserved)
        right = random.random() < RIGHT_SHARE
        solution = solve(story.start, story.steps)[0] if right else wrong_by(random.choice(kinds), random, story)
        row = graded(story, solution)
        if len(row[0]) <= MAX_LENGTH:
            yield row


def padded(batch: Sequence[tuple[list[int], list[float], list[float]]]) -> tuple[torch.Tensor, ...]:
    """Ids, grades and weights, each of the shape batch x longest row, and the mask of the words."""
    longest = max(len(ids) for ids, _, _ in batch)
    pad = WORD_IDS[PAD]
    ids = torch.tensor([[*one, *[pad] * (longest - len(one))] for one, _, _ in batch])
    grades, weights = (
        torch.tensor([[*row[part], *[0.0] * (longest - len(row[part]))] for row in batch]) for part in (1, 2)
    )
    return ids, grades, weights, ids != pad


def make_model(out: Path) -> LlamaForSequenceClassification:
    """The layers of `comparer` with a new head of one number."""
    torch.manual_seed(SEED)
    start = LlamaForCausalLM.from_pretrained(out / START, dtype=torch.float32)
    start.config.num_labels = 1
    model = LlamaForSequenceClassification(start.config)
    model.model.load_state_dict(start.model.state_dict())
    return model


def train(model: LlamaForSequenceClassification, steps: int) -> None:
    """Train all weights on the grade of every word."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    stream, started = rows(SEED), time.process_time()
    for step in range(steps):
        ids, grades, weights, mask = padded(list(islice(stream, BATCH)))
        for group in optimizer.param_groups:
            fade = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * fade
        hidden = model.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        logits = model.score(hidden)[..., 0]
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, grades, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} loss {loss.item():.3f} {time.process_time() - started:.0f} CPU s", flush=True)


@torch.inference_mode()
def rewards(model: LlamaForSequenceClassification, texts: Sequence[list[str]]) -> list[float]:
    """The reward of each row, read at its last word as transformers reads it."""
    found: list[float] = []
    for start in range(0, len(texts), 100):
        chosen = [[WORD_IDS[word] for word in words] for words in texts[start : start + 100]]
        ids, _, _, mask = padded([(row, [0.0] * len(row), [0.0] * len(row)) for row in chosen])
        found += model(input_ids=ids, attention_mask=mask.long()).logits[:, 0].tolist()
    return found


def accuracies(model: LlamaForSequenceClassification) -> dict[str, float]:
    """{kind of wrong solution: share of the tested questions whose right solution has the higher reward}."""
    random, stories = Random(TEST_SEED), tested_stories()
    right = rewards(model, [words_of(story, solve(story.start, story.steps)[0]) for story in stories])
    shares: dict[str, float] = {}
    for kind in WRONG:
        wrong = rewards(model, [words_of(story, wrong_by(kind, random, story)) for story in stories])
        shares[kind] = sum((a > b) + 0.5 * (a == b) for a, b in zip(right, wrong, strict=True)) / TESTED
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
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = make_model(arguments.out)
    print("untrained", accuracies(model), flush=True)
    train(model, arguments.steps)
    print("trained", accuracies(model), flush=True)
    save(model, arguments.out / NAME)
    table_file: Path = arguments.out / "models.json"
    table = {row["name"]: row for row in json.loads(table_file.read_text())}
    table[NAME] = {
        "name": NAME,
        "parameters": model.num_parameters(),
        "layers": model.config.num_hidden_layers,
        "width": model.config.hidden_size,
        "steps": arguments.steps,
        "tokens": None,
        "seed": SEED,
        "start": START,
        "text": {"graded_words": 1.0},
    }
    table_file.write_text(json.dumps([table[name] for name in sorted(table)], indent=2) + "\n")


if __name__ == "__main__":
    main()
