"""Where large models go: device maps, 4 bits, shards, and a base that stays in memory."""

from __future__ import annotations

import dataclasses
import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from embedded import PROBLEMS, QUICK, ROWS, STRONG, NoProgress, base, user

from burnish.config import Decoding, DType, Execution, LoraConfig, ModelConfig
from burnish.errors import BackendError, ConfigError
from burnish.protocols import SamplingKey
from burnish.types import Artifact, Prompt

torch: Any = pytest.importorskip("torch")

from burnish.backends import placing, train  # noqa: E402
from burnish.backends.hf import HfBackend  # noqa: E402
from burnish.backends.load import load  # noqa: E402
from burnish.backends.placing import Placement, check_attention, check_quantised, check_split, place_of  # noqa: E402
from burnish.models.adapter import check_adapter  # noqa: E402
from burnish.models.card import read_card, write_card  # noqa: E402

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ATTACHED = STRONG.model_copy(update={"trained_adapter": "attach"})
FOUR_BITS = ModelConfig(source="org/name", quantise="nf4")
LORA = QUICK.model_copy(update={"epochs": 1, "lora": LoraConfig(r=4, alpha=8), "learning_rate": 1e-2})
SPLIT = Execution(split_training="fsdp2")


def found_nothing(name: str) -> None:
    return None


def found_something(name: str) -> object:
    return object()


def keys(seed: int = 0) -> SamplingKey:
    return SamplingKey(seed=seed, stage="test", round=0)


def answers(backend: HfBackend, model: Artifact) -> list[str]:
    prompts = [Prompt(id=str(i), messages=user(p.question)) for i, p in enumerate(PROBLEMS[:8])]
    decode = Decoding(beams=1, max_new_tokens=12)
    return [one.text for batch in backend.generate(model, prompts, decode, keys(), frozenset()) for one in batch]


def scores(backend: HfBackend, model: Artifact) -> list[float]:
    return [one.value for batch in backend.logprobs(model, ROWS[:8], frozenset()) for one in batch]


def opened() -> HfBackend:
    return HfBackend(Execution(device="cpu", threads=1), NoProgress(), {})


def finetuned(backend: HfBackend, start: Artifact, into: Path, seed: int) -> Artifact:
    into.mkdir()
    backend.train(start, ROWS[:32], LORA, seed, into)
    return Artifact(path=str(into), kind="train", fingerprint=into.name)


@pytest.mark.slow
def test_a_base_stays_in_memory_and_changes_nothing(tmp_path: Path) -> None:
    """Trainings, answers and scores with one base in turn give what each gives in a process of its own."""
    together, start = opened(), base(tmp_path / "base", ATTACHED)
    results: dict[str, tuple[list[str], list[float]]] = {}
    for seed in (0, 1):
        model = finetuned(together, start, tmp_path / f"together-{seed}", seed)
        results[model.fingerprint] = answers(together, model), scores(together, model)
    assert together.runtime.resident.read == 1
    assert results["together-0"] != results["together-1"]
    for seed in (0, 1):
        model = finetuned(opened(), start, tmp_path / f"alone-{seed}", seed)
        weights = [
            (tmp_path / f"{way}-{seed}" / "adapter_model.safetensors").read_bytes() for way in ("alone", "together")
        ]
        assert weights[0] == weights[1]
        assert (answers(opened(), model), scores(opened(), model)) == results[f"together-{seed}"]
    # An adapter that was used before is taken away again.
    again = Artifact(path=str(tmp_path / "together-0"), kind="train", fingerprint="together-0")
    assert answers(together, again) == results["together-0"][0]


@pytest.mark.slow
def test_an_attached_adapter_is_the_merged_one_but_for_rounding(tmp_path: Path) -> None:
    model = finetuned(opened(), base(tmp_path / "base", ATTACHED), tmp_path / "model", 0)
    attached = scores(opened(), model)
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    del card["base"]["trained_adapter"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(card))
    merged = scores(opened(), model)
    assert attached == pytest.approx(merged, abs=1e-3)
    assert attached != merged
    # For other programs the sum is written, whatever the setting says.
    whole = load(tmp_path / "model", CPU, {}, whole=True).model
    assert not any("lora" in name for name, _ in whole.named_parameters())


@pytest.mark.slow
def test_a_base_that_answers_itself_is_not_read_a_second_time(tmp_path: Path) -> None:
    """Two copies of a large model would not fit into memory."""
    backend, start = opened(), base(tmp_path / "base", ATTACHED)
    alone = scores(opened(), start)
    model = finetuned(backend, start, tmp_path / "model", 0)
    trained = scores(backend, model)
    assert scores(backend, start) == alone
    assert scores(backend, model) == trained != alone
    assert backend.runtime.resident.read == 1


def test_another_model_frees_the_base(tmp_path: Path) -> None:
    backend, start = opened(), base(tmp_path / "base", ATTACHED)
    model = finetuned(backend, start, tmp_path / "model", 0)
    scores(backend, model)
    assert backend.runtime.resident._model is not None
    scores(backend, base(tmp_path / "other"))
    assert backend.runtime.resident._model is None


def test_a_device_map_gives_the_same_answers(tmp_path: Path) -> None:
    """On a machine without a GPU, all layers go into its memory."""
    mapped = HfBackend(Execution(device="cpu", threads=1, device_map="auto"), NoProgress(), {})
    start = base(tmp_path / "base")
    assert (answers(mapped, start), scores(mapped, start)) == (answers(opened(), start), scores(opened(), start))


def test_where_weights_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Placement(device=CPU).arguments(STRONG, torch.float32) == {}
    assert place_of(CUDA, Execution()).arguments(STRONG, torch.float32) == {"device_map": {"": CUDA}}
    assert place_of(CUDA, Execution(device_map="auto")).arguments(STRONG, torch.float32) == {"device_map": "auto"}
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert place_of(CUDA, Execution()).device == torch.device("cuda:3")


def test_four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(placing.importlib.util, "find_spec", found_nothing)
        with pytest.raises(BackendError, match=r"quantise: nf4 needs bitsandbytes; install it with pip install"):
            check_quantised(FOUR_BITS, CUDA)
    monkeypatch.setattr(placing.importlib.util, "find_spec", found_something)
    with pytest.raises(BackendError, match="works on CUDA GPUs and CPUs, and models run on mps here"):
        check_quantised(FOUR_BITS, torch.device("mps"))
    check_quantised(FOUR_BITS, CUDA)


def test_an_adapter_is_not_merged_into_four_bits(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models.strong: quantise: nf4 found, .* set adapter: continue"):
        check_adapter(FOUR_BITS, tmp_path, "models.strong")
    check_adapter(FOUR_BITS.model_copy(update={"adapter": "continue"}), tmp_path, "models.strong")


def test_all_weights_of_a_model_in_four_bits_are_not_trained(tmp_path: Path) -> None:
    start = base(tmp_path / "base", STRONG.model_copy(update={"quantise": "nf4"}))
    with pytest.raises(ConfigError, match=r"quantise: nf4 found, and train.lora: null"):
        opened().train(start, ROWS, QUICK, 0, tmp_path)


def test_shards_that_accelerate_would_pass_over_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match=r"fsdp2 found, and the device is mps: models are split over CUDA GPUs"):
        check_split(torch.device("mps"), SPLIT)
    with pytest.raises(BackendError, match=r"execution.split_training: fsdp2 found, but there is one process; set"):
        HfBackend(Execution(device="cpu", split_training="fsdp2"), NoProgress(), {})
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_split(CUDA, SPLIT)
    check_split(CPU, Execution())


def test_attention_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    flash = ModelConfig(source="org/name", attention="flash_attention_2")
    with pytest.raises(BackendError, match=r"attention: flash_attention_2 works on CUDA GPUs, .* cpu here; set"):
        check_attention(flash, CPU)
    monkeypatch.setattr(placing.importlib.util, "find_spec", found_nothing)
    with pytest.raises(BackendError, match=r"attention: flash_attention_2 needs flash-attn; install it with"):
        check_attention(flash, CUDA)
    monkeypatch.setattr(placing.importlib.util, "find_spec", found_something)
    check_attention(flash, CUDA)
    check_attention(STRONG.model_copy(update={"attention": "eager"}), CPU)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_computed_as_the_settings_say(attention: str, tmp_path: Path) -> None:
    """In a base, and in the sum of a base and an adapter."""
    backend, start = opened(), base(tmp_path / "base", STRONG.model_copy(update={"attention": attention}))
    model = finetuned(backend, start, tmp_path / "adapter", 0)
    for place in (start, model):
        loaded = load(Path(place.path), CPU, {})
        assert loaded.model.config._attn_implementation == attention  # transformers has no public name for it
    assert scores(backend, model) == pytest.approx(scores(backend, other_attention(model, tmp_path)), abs=1e-4)


def other_attention(model: Artifact, place: Path) -> Artifact:
    """Return a copy of a model whose attention transformers chooses."""
    path = place / "copy"
    shutil.copytree(model.path, path)
    card = read_card(path)
    write_card(path, card.model_copy(update={"base": card.base.model_copy(update={"attention": None})}))
    return dataclasses.replace(model, path=str(path))


def test_adapters_are_the_same_without_needless_casts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PEFT casts to float32 what autocast casts back, so the trained weights must have the same bytes."""
    backend, start = opened(), base(tmp_path / "base", STRONG.model_copy(update={"dtype": DType.BFLOAT16}))
    finetuned(backend, start, tmp_path / "ours", 0)
    casts: list[bool] = []

    def leave(_: object, active: bool) -> AbstractContextManager[None]:
        casts.append(active)
        return nullcontext()

    monkeypatch.setattr(train, "disable_input_dtype_casting", leave)
    finetuned(backend, start, tmp_path / "with-casts", 0)
    name = "adapter_model.safetensors"
    assert casts == [True]
    assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "with-casts" / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"device_map": "auto", "workers": 2}, "device_map: auto takes all GPUs for one process, but workers: 2 found"),
        ({"device_map": "auto", "split_training": "fsdp2"}, "device_map: auto and split_training: fsdp2 both split"),
        (
            {"device_map": "auto", "needs": {"train": {"processes": 2}}},
            "device_map: auto takes all GPUs for one process, but needs.train.processes: 2 found",
        ),
        ({"device": "mps", "needs": {"train": {"processes": 2}}}, "device: mps has one GPU, but needs.train.processes"),
    ],
)
def test_execution_that_contradicts_itself(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Execution.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"quantise": "nf4", "source": "a.gguf"}, "quantise: nf4 and source: 'a.gguf' cannot be used together"),
        ({"quantise": "nf4", "merged_dtype": "float32"}, "merged_dtype: float32 has no effect with quantise: nf4"),
        ({"trained_adapter": "attach", "merged_dtype": "float32"}, "has no effect with trained_adapter: attach"),
        ({"attention": "eager", "serve": {"engine": "vllm", "environment": "/v"}}, "attention: has no effect"),
    ],
)
def test_models_that_contradict_themselves(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ModelConfig.model_validate({"source": "org/name", **settings})


def test_new_settings_at_their_defaults_are_not_written() -> None:
    """So stores and results folders from before keep their identities and bytes."""
    assert not {"quantise", "trained_adapter", "attention"} & STRONG.model_dump().keys()
    assert not {"device_map", "split_training"} & Execution().model_dump().keys()
