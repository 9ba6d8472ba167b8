"""The real backend on the built-in models: rendering, training, answers, scores. Slow parts are few and small."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from embedded import PROBLEMS, QUICK, ROWS, STRONG, backend, base, trained, user

from burnish.config import Decoding, DType, LoraConfig, ModelConfig, SumsTask, Template, TrainSettings
from burnish.errors import BackendError, DataError
from burnish.models.card import Weights, read_card
from burnish.models.location import EMBEDDED
from burnish.protocols import SamplingKey
from burnish.tasks import make_task, task_named
from burnish.types import Artifact, PairRow, Prompt, TrainingRow

torch = pytest.importorskip("torch")

from burnish.backends.batching import micro_batch, plan_batches  # noqa: E402
from burnish.backends.load import load, renderer_of  # noqa: E402
from burnish.backends.sampling import uniform  # noqa: E402

KEY = SamplingKey(seed=0, stage="test", round=0)
GREEDY = Decoding(beams=1, max_new_tokens=24)


PROMPTS = [Prompt(id=str(i), messages=user(p.question)) for i, p in enumerate(PROBLEMS)]


def test_one_rendering_serves_training_scoring_and_generation() -> None:
    renderer = renderer_of(STRONG)
    assert renderer.template is Template.EMBEDDED
    for row in ROWS:
        tokens = renderer.row(row, 64)
        prompt = renderer.prompt(row.prompt)
        assert tokens.ids[: tokens.prompt_length] == prompt
        assert tokens.labels[: len(prompt)] == [-100] * len(prompt)
        assert tokens.labels[len(prompt) :] == tokens.ids[len(prompt) :]
        assert tokens.labels[-1] == renderer.eos
        assert renderer.tokenizer.unk_token_id not in tokens.ids
        assert renderer.text(tokens.ids[len(prompt) :]) == row.completion


def test_the_trainer_sees_our_ids_with_one_end_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Trainer

    seen: list[tuple[list[int], list[int]]] = []

    def look(self: Any) -> None:
        batch = next(iter(self.get_train_dataloader()))
        seen.extend(zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True))
        self.state.log_history.append({"train_loss": 0.0})

    monkeypatch.setattr(Trainer, "train", look)
    trained(tmp_path, QUICK.model_copy(update={"batch_size": 64}))
    renderer = renderer_of(STRONG)
    ours = {tuple(tokens.ids): tokens.labels for tokens in (renderer.row(row, 64) for row in ROWS)}
    assert len(seen) == len(ROWS)
    pad = renderer.tokenizer.pad_token_id
    for ids, labels in seen:
        row = tuple(i for i in ids if i != pad)
        assert [label for label, i in zip(labels, ids, strict=True) if i != pad] == ours[row]
        assert labels.count(renderer.eos) == 1


def test_a_row_whose_end_does_not_fit_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0: \d+ tokens, but at most 10 fit"):
        trained(tmp_path, QUICK.model_copy(update={"max_tokens": 10}))


def test_templates_of_real_models_are_the_papers_words() -> None:
    renderer = renderer_of(ModelConfig(source=str(EMBEDDED / "strong"), template=Template.PAPER, dtype=DType.FLOAT32))
    calls: list[str] = []
    tokenizer = renderer.tokenizer

    class Spy:
        eos_token_id, bos_token_id, chat_template = tokenizer.eos_token_id, None, None

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            calls.append(text)
            return {"input_ids": []}

    from burnish.backends.render import Renderer

    Renderer(Spy(), Template.AUTO).prompt(user("1 + 1 ?"))
    assert calls[-1] == "USER:\n1 + 1 ?\n\nASSISTANT:"


# Not marked slow: `make check` trains at least one model.
def test_training_is_reproducible_and_saves_what_it_loads(tmp_path: Path) -> None:
    one, two = trained(tmp_path / "a"), trained(tmp_path / "b")
    files = sorted(path.name for path in Path(one.path).iterdir() if path.is_file())
    assert "model.safetensors" in files
    for name in files:
        assert (Path(one.path) / name).read_bytes() == (Path(two.path) / name).read_bytes(), name
    answers = [row for batch in backend().generate(one, PROMPTS, GREEDY, KEY, set()) for row in batch]
    assert {answer.id for answer in answers} == {prompt.id for prompt in PROMPTS}


@pytest.mark.slow
def test_a_training_that_ends_in_nan_is_refused(tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"learning_rate": 1e4, "epochs": 6})
    with pytest.raises(BackendError, match=r"learning_rate: 10000\.0 made the loss (nan|inf); lower it"):
        trained(tmp_path, settings)


def test_a_last_step_that_ruins_the_weights_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from transformers import Trainer

    def ruin(self: Any) -> None:
        self.state.log_history.append({"train_loss": 1.0})
        with torch.no_grad():
            next(self.model.parameters())[0] = torch.nan

    monkeypatch.setattr(Trainer, "train", ruin)
    with pytest.raises(BackendError, match=r"learning_rate: 0\.001 made weights of \S+ infinite or no number"):
        trained(tmp_path)


@pytest.mark.slow
def test_checkpoints_are_evenly_spaced_and_the_last_is_the_model(tmp_path: Path) -> None:
    model = trained(tmp_path, QUICK.model_copy(update={"epochs": 3}), checkpoints=3)
    places = sorted(Path(model.path).glob("checkpoint-*"))
    assert [place.name for place in places] == ["checkpoint-01", "checkpoint-02", "checkpoint-03"]
    weights = [(place / "model.safetensors").read_bytes() for place in places]
    assert len(set(weights)) == 3
    assert weights[2] == (Path(model.path) / "model.safetensors").read_bytes()
    assert all(read_card(place).weights is Weights.FULL for place in places)


@pytest.mark.slow
def test_an_adapter_is_small_and_changes_answers(tmp_path: Path) -> None:
    model = trained(tmp_path, QUICK.model_copy(update={"lora": LoraConfig(r=4, alpha=8), "learning_rate": 1e-2}))
    assert read_card(Path(model.path)).weights is Weights.ADAPTER
    assert not (Path(model.path) / "model.safetensors").exists()
    start = Artifact(path=str(tmp_path / "base"), kind="base", fingerprint="base")
    before = [score.value for batch in backend().logprobs(start, ROWS, set()) for score in batch]
    after = [score.value for batch in backend().logprobs(model, ROWS, set()) for score in batch]
    assert sum(after) > sum(before)


@pytest.mark.slow
def test_an_adapter_may_be_added_to_its_base_in_float32(tmp_path: Path) -> None:
    """At so low a rate, bfloat16 loses what was learned: many weights stay as they were."""
    half = STRONG.model_copy(update={"dtype": DType.BFLOAT16})
    settings = QUICK.model_copy(update={"lora": LoraConfig(r=4, alpha=8), "learning_rate": 1e-6})
    moved: dict[str | None, float] = {}
    for merged in (None, "float32"):
        model = trained(tmp_path / str(merged), settings, half.model_copy(update={"merged_dtype": merged}))
        weights = load(Path(model.path), torch.device("cpu"), {}).model.state_dict()
        first = load(Path(base(tmp_path / f"base-{merged}", half).path), torch.device("cpu"), {}).model.state_dict()
        name = next(name for name in weights if "q_proj" in name)
        assert weights[name].dtype is (torch.bfloat16 if merged is None else torch.float32)
        moved[merged] = (weights[name].float() != first[name].float()).float().mean().item()
    assert moved["float32"] > 0.9
    assert moved[None] < 0.1


def test_the_first_layers_make_a_weaker_model(tmp_path: Path) -> None:
    cut = base(tmp_path / "cut", STRONG.model_copy(update={"layers": 1}))
    loaded = load(Path(cut.path), torch.device("cpu"), {})
    assert len(loaded.model.model.layers) == loaded.model.config.num_hidden_layers == 1


def test_logprobs_are_the_models_own(tmp_path: Path) -> None:
    model = base(tmp_path)
    loaded = load(Path(model.path), torch.device("cpu"), {})
    scores = {score.id: score.value for batch in backend().logprobs(model, ROWS, set()) for score in batch}
    for row in ROWS[:4]:
        tokens = loaded.renderer.row(row, 64)
        with torch.no_grad():
            logits_TV = loaded.model(torch.tensor([tokens.ids])).logits[0]
        logprob_TV = torch.log_softmax(logits_TV.double(), dim=-1)
        expected = sum(
            logprob_TV[place - 1, tokens.ids[place]].item() for place in range(tokens.prompt_length, len(tokens.ids))
        )
        assert scores[row.id] == pytest.approx(expected, abs=1e-4)


SAMPLED = Decoding(beams=1, max_new_tokens=12, temperature=1.0)


@pytest.mark.slow
def test_a_sample_depends_on_its_item_alone_in_float32(tmp_path: Path) -> None:
    """Batch size, company in the batch and order do not change a sample; seed, stage, round and sample index do."""
    model = base(tmp_path)

    def answers(prompts: list[Prompt], key: SamplingKey, batch_tokens: int) -> dict[str, str]:
        found = backend(batch_tokens=batch_tokens).generate(model, prompts, SAMPLED, key, set())
        return {answer.id: answer.text for batch in found for answer in batch}

    together = answers(PROMPTS, KEY, 100_000)
    assert answers(PROMPTS, KEY, 1) == together
    assert answers(PROMPTS[::-1][:20], KEY, 200) == {prompt.id: together[prompt.id] for prompt in PROMPTS[::-1][:20]}
    for other in (
        SamplingKey(seed=1, stage="test", round=0),
        SamplingKey(seed=0, stage="labels", round=0),
        SamplingKey(seed=0, stage="test", round=1),
    ):
        assert answers(PROMPTS, other, 100_000) != together
    again = [Prompt(id=prompt.id, messages=prompt.messages, sample=1) for prompt in PROMPTS]
    assert answers(again, KEY, 100_000) != together


@pytest.mark.slow
def test_samples_follow_the_models_distribution(tmp_path: Path) -> None:
    """The first token's frequencies over 2,000 draws lie near its probabilities."""
    model = base(tmp_path)
    loaded = load(Path(model.path), torch.device("cpu"), {})
    draws = [Prompt(id="0", messages=PROMPTS[0].messages, sample=i) for i in range(2000)]
    settings = SAMPLED.model_copy(update={"max_new_tokens": 1})
    found = backend().generate(model, draws, settings, KEY, set())
    texts = [answer.text for batch in found for answer in batch]
    with torch.no_grad():
        logits_V = loaded.model(torch.tensor([loaded.renderer.prompt(PROMPTS[0].messages)])).logits[0, -1]
    probability, token = torch.softmax(logits_V, dim=-1).max(dim=-1)
    share = texts.count(loaded.renderer.text([int(token)])) / len(texts)
    assert share == pytest.approx(probability.item(), abs=0.05)  # 4.5 standard errors at most


@pytest.mark.slow
def test_a_sample_is_scored_over_the_tokens_that_were_drawn(tmp_path: Path) -> None:
    """Divergence is estimated on samples that went through text: they must come back as the same tokens."""
    model = trained(tmp_path)
    found = backend().generate(model, PROMPTS, SAMPLED.model_copy(update={"max_new_tokens": 32}), KEY, set())
    drawn = {answer.id: answer for batch in found for answer in batch if answer.finished}
    rows = [
        TrainingRow(id=id_, prompt=PROMPTS[int(id_)].messages, completion=answer.text) for id_, answer in drawn.items()
    ]
    scores = {score.id: score.tokens for batch in backend().logprobs(model, rows, set()) for score in batch}
    assert len(drawn) > 30
    assert scores == {id_: answer.tokens for id_, answer in drawn.items()}


@pytest.mark.slow
def test_rows_that_do_not_fit_are_known_before_they_are_scored(tmp_path: Path) -> None:
    model = base(tmp_path)
    long = TrainingRow(id="long", prompt=ROWS[0].prompt, completion="3 + 4 = 7 " * 500)
    rows = [*ROWS[:3], long]
    fits = backend().fitting(model, rows)
    assert set(fits) == {row.id for row in ROWS[:3]}
    with pytest.raises(DataError, match="row long: "):
        list(backend().logprobs(model, rows, set()))
    scores = [score.id for batch in backend().logprobs(model, ROWS[:3], set()) for score in batch]
    assert set(scores) == set(fits)


def test_uniforms_are_pinned() -> None:
    """If these change, every sampled result changes: the function is part of the stages' meaning."""
    digest = hashlib.sha256(b"1\x1fs\x1f2\x1fitem\x1f3\x1f4").digest()
    assert uniform(SamplingKey(seed=1, stage="s", round=2), "item", 3, 4) == int.from_bytes(digest[:7], "big") / 2**56
    assert uniform(SamplingKey(seed=1, stage="s", round=2), "item", 3, 4) == 0.7034606204335143


@pytest.mark.slow
def test_done_batches_are_left_out_and_torn_ones_come_whole(tmp_path: Path) -> None:
    model, tight = base(tmp_path), backend(batch_tokens=400)
    batches = list(tight.generate(model, PROMPTS, GREEDY, KEY, set()))
    assert len(batches) > 3
    first, second = [answer.id for answer in batches[0]], [answer.id for answer in batches[1]]
    counted = Counted()
    resumed = backend(counted, batch_tokens=400)
    rest = list(resumed.generate(model, PROMPTS, GREEDY, KEY, {*first, *second[1:]}))
    assert rest == batches[1:]
    # The whole batch counts as done from the start, and the torn one as work that is still to be done.
    assert counted.calls == [("answering", len(PROMPTS), len(first)), *map(len, rest)]


class Counted:
    """Remembers what a backend says of its progress."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int] | int] = []

    def start(self, label: str, total: int, done: int = 0) -> None:
        self.calls.append((label, total, done))

    def advance(self, amount: int) -> None:
        self.calls.append(amount)


@pytest.mark.parametrize("name", ["strong", "strong-large", "strong-second", "weak", "weak-long", "weak-second"])
def test_a_base_model_answers_nothing_before_it_is_finetuned(tmp_path: Path, name: str) -> None:
    """What a student can do it has learned from its labels: the base knows sums in other words, and no marker."""
    model = base(tmp_path, ModelConfig(source=f"builtin:{name}", dtype=DType.FLOAT32))
    examples = make_task(SumsTask(kind="sums", train=1, test=20)).load().test
    prompts = [Prompt(id=example.id, messages=example.prompt) for example in examples]
    answers = {a.id: a.text for batch in backend().generate(model, prompts, GREEDY, KEY, set()) for a in batch}
    task = task_named("sums")
    assert len(answers) == 20
    assert [task.on(example).grade(answers[example.id]).extracted for example in examples] == [None] * 20


@pytest.mark.slow
def test_beam_search_finds_likelier_answers_than_greedy(tmp_path: Path) -> None:
    """Beams are ranked by log-probability a token, so that is what must rise."""
    model = trained(tmp_path)

    def likelihood(settings: Decoding) -> float:
        found = [answer for batch in backend().generate(model, PROMPTS, settings, KEY, set()) for answer in batch]
        tokens = {answer.id: answer.tokens for answer in found}
        rows = [
            TrainingRow(id=answer.id, prompt=PROMPTS[int(answer.id)].messages, completion=answer.text)
            for answer in found
            if answer.finished
        ]
        scores = [score for batch in backend().logprobs(model, rows, set()) for score in batch]
        return sum(score.value / tokens[score.id] for score in scores) / len(scores)

    assert likelihood(Decoding(beams=4, max_new_tokens=32)) > likelihood(Decoding(beams=1, max_new_tokens=32))


@pytest.mark.slow
def test_the_two_way_head_learns_from_both_orders(tmp_path: Path) -> None:
    """A difference that one word shows is learned, and swapping the answers swaps the probability."""
    start, into = base(tmp_path / "base"), tmp_path / "head"
    into.mkdir()
    pairs = [
        (
            PairRow(id=f"{i}:ab", prompt=user(p.question), first="#### 1", second=p.solution, second_better=True),
            PairRow(id=f"{i}:ba", prompt=user(p.question), first=p.solution, second="#### 1", second_better=False),
        )
        for i, p in enumerate(PROBLEMS)
    ]
    settings = TrainSettings(epochs=8, learning_rate=3e-3, batch_size=8, lora=None)
    backend().train_classifier(start, pairs, settings, 0, into)
    model = Artifact(path=str(into), kind="train_classifier", fingerprint="head")
    rows = [order for pair in pairs for order in pair]
    scores = {score.id: score.value for batch in backend().classify(model, rows, set()) for score in batch}
    right = sum((scores[row.id] > 0.5) == row.second_better for row in rows)
    assert right >= 0.95 * len(rows)


def test_batches_are_planned_longest_first_within_the_budget() -> None:
    assert plan_batches([3, 9, 3, 5], 10) == [[1], [3, 0], [2]]
    assert plan_batches([3, 9, 3, 5], 100) == [[1, 3, 0, 2]]
    assert plan_batches([], 10) == []
    # By tokens they would fit together, but not by their targets. The first row has too many of them by itself.
    assert plan_batches([9, 8, 7, 6], 100, targets=[7, 2, 3, 1], most_targets=5) == [[0], [1, 2], [3]]
    assert [micro_batch(32, 100, tokens) for tokens in (50, 100, 900, 10_000)] == [1, 1, 8, 32]
