"""The comparisons of a refinement as preference pairs: which ones, in which form, and whether TRL takes them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from folders import FORMULA, GIVEN, PROPOSED, REQUESTS, SCRIPT, Made, made
from forms_data import parquet

from burnish.ledger.folder import EXAMPLES, LEDGER
from burnish.ledger.preference_pairs import WrittenPairs, write_pairs
from burnish.ledger.reverting import revert
from burnish.store.files import read_rows, write_rows
from burnish.types import Example, Message, Reason, Role


@pytest.fixture
def there(tmp_path: Path) -> Made:
    return made(tmp_path)


def pairs_of(there: Made, name: str = "pairs.jsonl") -> tuple[WrittenPairs, list[dict[str, Any]]]:
    """Write the pairs and read them back."""
    path = there.path.parent / name
    written = write_pairs(there.folder, path)
    if path.suffix == ".parquet":
        return written, parquet.read_table(path).to_pylist()
    return written, [json.loads(line) for line in path.read_text().splitlines()]


def converse(there: Made) -> None:
    """Give the first row a conversation as its prompt."""
    first, *others = read_rows(there.path / EXAMPLES, Example)
    turns = [(Role.SYSTEM, "Be kind."), (Role.USER, "Hi"), (Role.ASSISTANT, "Hello"), (Role.USER, "2 + 2?")]
    prompt = tuple(Message(role=role, content=text) for role, text in turns)
    write_rows(there.path / EXAMPLES, [dataclasses.replace(first, prompt=prompt), *others])


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_every_clear_verdict_is_a_pair_with_the_preferred_answer_as_chosen(there: Made, name: str) -> None:
    written, rows = pairs_of(there, name)
    assert [(row["round"], row["id"], row["preferred"], row["reason"]) for row in rows] == [
        (1, "r1", "proposal", "accepted"),
        (1, "r2", "proposal", "accepted"),
        (1, "r3", "proposal", "accepted"),
        (1, "r7", "label", "rejected"),
        (1, "r8", "proposal", "over_cap"),
        (2, "r2", "proposal", "accepted"),
        (2, "r3", "label", "rejected"),
        (2, "r4", "proposal", "accepted"),
    ]
    assert list(rows[0]) == ["id", "prompt", "chosen", "rejected", "round", "preferred", "confidence", "reason"]
    assert (rows[0]["prompt"], rows[0]["chosen"], rows[0]["rejected"]) == (REQUESTS["r1"], SCRIPT, GIVEN["r1"])
    assert (rows[3]["chosen"], rows[3]["rejected"]) == (GIVEN["r7"], PROPOSED[1]["r7"])
    assert (rows[5]["chosen"], rows[5]["rejected"]) == ("two point two", "two point one")
    assert rows[2]["rejected"] == FORMULA
    assert rows[0]["confidence"] == pytest.approx(0.4)
    assert rows[3]["confidence"] == pytest.approx(0.3)
    assert (written.pairs, written.ties, written.abstained, written.taken_back) == (8, 0, 1, 0)


def test_what_is_left_out_is_counted_and_said(there: Made) -> None:
    lines = there.ledger()
    other = {"r7": Reason.TIE, "r8": Reason.ORDERS_DISAGREE}
    changed = [
        dataclasses.replace(line, reason=other.get(line.example_id, line.reason)) if line.round == 1 else line
        for line in lines
    ]
    write_rows(there.path / LEDGER, changed)
    revert(there.path, 2, [])
    written, rows = pairs_of(there)
    assert [(row["round"], row["id"]) for row in rows] == [(1, "r1"), (1, "r2"), (1, "r3"), (2, "r3")]
    assert written.words() == (
        f"pairs: {written.path}: 4 preference pairs; left out: 2 ties, 1 abstention and 2 changes that you took back"
    )


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_one_conversation_makes_all_prompts_lists_of_messages(there: Made, name: str) -> None:
    converse(there)
    _, rows = pairs_of(there, name)
    assert rows[0]["prompt"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "2 + 2?"},
    ]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": SCRIPT}]
    assert rows[0]["rejected"] == [{"role": "assistant", "content": GIVEN["r1"]}]
    assert rows[3]["prompt"] == [{"role": "user", "content": REQUESTS["r7"]}]


def test_rows_of_messages_are_conversations_also_with_a_single_turn(there: Made) -> None:
    summary = there.folder.summary
    data = summary.data.model_copy(update={"form": "messages (messages from 'turns')"})
    there.folder.write_summary(summary.model_copy(update={"data": data}))
    _, rows = pairs_of(there)
    assert rows[0]["prompt"] == [{"role": "user", "content": REQUESTS["r1"]}]


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_before_the_first_round_there_is_a_file_without_pairs(there: Made, name: str) -> None:
    (there.path / LEDGER).unlink()
    written, rows = pairs_of(there, name)
    assert (written.pairs, rows) == (0, [])


# --- TRL


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
@pytest.mark.parametrize("turns", [False, True])
def test_trl_prepares_the_rows_for_dpo_and_for_a_reward_model(
    there: Made, name: str, turns: bool, tmp_path: Path
) -> None:
    """Loads the file with `datasets`, hands it to both trainers as it is, and looks at the tokens that they made."""
    datasets: Any = pytest.importorskip("datasets")
    trl: Any = pytest.importorskip("trl")
    transformers: Any = pytest.importorskip("transformers")
    if turns:
        converse(there)
    pairs_of(there, name)
    kind = "parquet" if name.endswith(".parquet") else "json"
    loaded = datasets.load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "c"))
    assert trl.data_utils.is_conversational(loaded[0]) is turns
    tokenizer = _tokenizer(transformers)
    common: dict[str, Any] = {"output_dir": str(tmp_path / "t"), "report_to": [], "use_cpu": True}
    common |= {"max_length": None, "max_steps": 1}
    policy, reference = (transformers.LlamaForCausalLM(_small(transformers, tokenizer)) for _ in range(2))
    data = {"train_dataset": loaded, "processing_class": tokenizer}
    dpo = trl.DPOTrainer(policy, ref_model=reference, args=trl.DPOConfig(**common), **data)
    chosen = tokenizer.decode(dpo.train_dataset[0]["chosen_ids"], skip_special_tokens=True)
    assert "".join(chosen.split()) == "".join(SCRIPT.split())
    assert len(dpo.train_dataset) == 8
    scorer = transformers.LlamaForSequenceClassification(_small(transformers, tokenizer, num_labels=1))
    reward = trl.RewardTrainer(scorer, args=trl.RewardConfig(**common), **data)
    assert len(reward.train_dataset) == 8
    assert dpo.train().global_step == reward.train().global_step == 1


def _small(transformers: Any, tokenizer: Any, **more: Any) -> Any:
    """Return a model of a few thousand parameters."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    return transformers.LlamaConfig(vocab_size=len(tokenizer), **sizes, **ids, **more)


def _tokenizer(transformers: Any) -> Any:
    """Return a tokenizer of bytes with a chat template."""
    tokenizers: Any = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    special = ["<pad>", "<eos>", "<|system|>", "<|user|>", "<|assistant|>"]
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    made_of = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    made_of.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made_of.decoder = tokenizers.decoders.ByteLevel()
    made_of.add_special_tokens(special)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made_of,
        pad_token="<pad>",
        eos_token="<eos>",
    )
    tokenizer.chat_template = (
        "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}<eos>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    return tokenizer
