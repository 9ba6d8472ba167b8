"""One round as the released code of iterative label refinement works: one row at a time, each step on a freshly read
model.

Read in its experiments/main.py, core/train.py, core/eval.py and experiments/ilr.py. Training is transformers' Trainer
with a mini-batch of 1 and accumulated gradients. Beams and comparisons take one prompt at a time. Three things are
kinder to it than the original. Gradient checkpointing, which the original always has, is an option. Frozen weights are
in the model's own format, not in float32. And the rows are not encoded anew by each program. One thing is less kind:
the original hands all prompts to vLLM, which batches them by itself on a GPU.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from bench_models import CPU
from peft import LoraConfig as PeftLora
from peft import get_peft_model
from transformers import PrinterCallback, Trainer, TrainingArguments

from burnish.backends.device import torch_dtype
from burnish.backends.load import load, load_base, renderer_of
from burnish.config import Decoding, DType, ModelConfig, TrainSettings
from burnish.types import Artifact, PairRow, Prompt, TrainingRow


def train(base: ModelConfig, rows: Sequence[TrainingRow], settings: TrainSettings, into: Path) -> None:
    """Finetune a freshly read model with a mini-batch of 1, and save it.

    Gradient checkpointing is that of the settings.
    """
    model: Any = load_base(base, torch_dtype(base.dtype) if settings.lora else torch.float32, labels=None)
    if settings.lora:
        lora = PeftLora(r=settings.lora.r, lora_alpha=settings.lora.alpha, target_modules="all-linear")
        if settings.gradient_checkpointing:
            model.enable_input_require_grads()  # an adapter needs it then
        model = get_peft_model(model, lora)
    renderer = renderer_of(base)
    tokens = [renderer.row(row, 2**20) for row in rows]
    arguments = TrainingArguments(
        output_dir=str(into / "trainer"),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=settings.batch_size,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=str(settings.schedule),
        warmup_steps=0.05,
        optim="adamw_torch",
        activation_checkpointing=settings.gradient_checkpointing,
        bf16=base.dtype is DType.BFLOAT16,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    data: Any = [{"input_ids": row.ids, "labels": row.labels} for row in tokens]
    trainer = Trainer(model=model, args=arguments, train_dataset=data, data_collator=_one_row)
    trainer.remove_callback(PrinterCallback)  # stdout is for the result
    trainer.train()
    model.save_pretrained(into)
    shutil.rmtree(into / "trainer", ignore_errors=True)


def _one_row(batch: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    (row,) = batch
    ids = torch.tensor([row["input_ids"]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([row["labels"]])}


def answer(model: Artifact, prompts: Sequence[Prompt], decode: Decoding) -> dict[str, str]:
    """Answer one prompt after the other with a freshly read model, by beam search. Returns {id: answer}."""
    loaded = load(Path(model.path), CPU, {})
    answers: dict[str, str] = {}
    for prompt in prompts:
        ids = torch.tensor([loaded.renderer.prompt(prompt.messages, prompt.id)])
        with torch.inference_mode():
            output = loaded.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=decode.max_new_tokens,
                num_beams=decode.beams,
                do_sample=False,
            )
        answers[prompt.id] = loaded.renderer.text(output[0, ids.shape[1] :].tolist())
    return answers


def compare(judge: Artifact, pairs: Sequence[PairRow]) -> dict[str, float]:
    """Score one pair after the other, each in the order given, with a freshly read head.

    Returns {id: P(the second answer is better)}.
    """
    loaded = load(Path(judge.path), CPU, {})
    scores: dict[str, float] = {}
    for pair in pairs:
        ids = torch.tensor([loaded.renderer.pair(pair, 2**20)])
        with torch.inference_mode():
            logits_B2 = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float()
        scores[pair.id] = float(torch.softmax(logits_B2, dim=-1)[0, 1])
    return scores
