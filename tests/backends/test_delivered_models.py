"""What other programs make of a delivered model: its base, its chat template, whole weights; and adapters as models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from embedded import backend, base, user
from tiny_models import tiny_model

from burnish.backends.export import export
from burnish.backends.load import load, renderer_of
from burnish.config import AdapterUse, DType, Execution, LoraConfig, ModelConfig, Template, TrainSettings
from burnish.errors import ConfigError
from burnish.inputs.models import resolve_model
from burnish.models.adapter import content_of_adapter, name_base
from burnish.models.location import TRY_IT
from burnish.types import Artifact, Message, Role, TrainingRow

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft")
transformers: Any = pytest.importorskip("transformers")
ROWS = [TrainingRow(id=str(i), prompt=user(f"{i} + 1?"), completion=f"{i + 1}") for i in range(6)]
LORA = TrainSettings(epochs=6, learning_rate=2e-2, batch_size=3, lora=LoraConfig(r=4, alpha=8))

LONGER = LORA.model_copy(update={"epochs": 12})


def found(source: Path | str, **settings: Any) -> ModelConfig:
    model = ModelConfig(source=str(source), dtype=DType.FLOAT32, **settings)
    return resolve_model(model, "model", Execution(device="cpu"), offline_ok=False)[0]


def identity(source: Path, **settings: Any) -> str:
    model = ModelConfig(source=str(source), dtype=DType.FLOAT32, **settings)
    return resolve_model(model, "model", Execution(device="cpu"), offline_ok=False)[1].fingerprint


def trained(where: Path, model: ModelConfig, settings: TrainSettings = LORA) -> Artifact:
    start, into = base(where / "base", model), where / "trained"
    into.mkdir()
    backend().train(start, ROWS, settings, 0, into)
    return Artifact(path=str(into), kind="train", fingerprint=str(into))


def delivered(where: Path, model: Artifact, merge: bool = False) -> Path:
    into = where / "delivered"
    into.mkdir()
    export(Path(model.path), into, {}, merge)
    return into


def scores(model: Artifact) -> list[float]:
    found = (score for batch in backend().logprobs(model, ROWS, set()) for score in batch)
    return [score.value for score in sorted(found, key=lambda score: score.id)]


def scores_of(model: Any, described: ModelConfig) -> list[float]:
    """Score the rows with a model that another program has loaded."""
    renderer, values = renderer_of(described), list[float]()
    for row in ROWS:
        tokens = renderer.row(row, 500)
        with torch.no_grad():
            logprob_TV = torch.log_softmax(model(torch.tensor([tokens.ids])).logits[0].double(), dim=-1)
        places = range(tokens.prompt_length, len(tokens.ids))
        values.append(sum(logprob_TV[i - 1, tokens.ids[i]].item() for i in places))
    return values


@pytest.mark.slow
def test_a_delivered_adapter_loads_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model was given by a relative path; PEFT finds the base from another working directory."""
    tiny_model(tmp_path / "models" / "a", "gemma")
    monkeypatch.chdir(tmp_path)
    model = found("models/a")
    learned = trained(tmp_path / "t", model)
    place = delivered(tmp_path / "t", learned)
    config = json.loads((place / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str((tmp_path / "models" / "a").resolve())
    readme = (place / "README.md").read_text()
    assert "an answer ends with the token `<end_of_turn>`" in readme
    assert "models/a" not in readme
    expected = scores(learned)
    assert scores(base(tmp_path / "start", model)) != pytest.approx(expected, abs=0.1)
    monkeypatch.chdir("/")
    loaded = peft.AutoPeftModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    assert scores_of(loaded, model.model_copy(update={"source": str(tmp_path / "models" / "a")})) == pytest.approx(
        expected, abs=1e-3
    )


@pytest.mark.slow
def test_the_base_is_named_anew_where_its_folder_was_renamed(tmp_path: Path) -> None:
    old = tiny_model(tmp_path / "old", "gemma")
    place = delivered(tmp_path / "t", trained(tmp_path / "t", found(old)))
    new = old.rename(tmp_path / "new")
    name_base(place, found(new))
    assert json.loads((place / "adapter_config.json").read_text())["base_model_name_or_path"] == str(new.resolve())
    peft.AutoPeftModelForCausalLM.from_pretrained(place)


def test_a_base_on_the_hub_is_named_with_its_commit(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/cache/snapshots/1", "r": 4}')
    name_base(tmp_path, ModelConfig(source="owner/name", revision="c0ffee"))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config == {"base_model_name_or_path": "owner/name", "revision": "c0ffee", "r": 4}


@pytest.mark.slow
def test_whole_weights_where_they_are_asked_for(tmp_path: Path) -> None:
    model = found(tiny_model(tmp_path / "m", "gemma"))
    learned = trained(tmp_path / "t", model)
    place = delivered(tmp_path / "t", learned, merge=True)
    assert not (place / "adapter_config.json").exists()
    loaded = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    assert scores_of(loaded, model) == pytest.approx(scores(learned), abs=1e-3)
    ends = loaded.generation_config.eos_token_id
    assert renderer_of(model).tokenizer.convert_ids_to_tokens(ends) == ["<end_of_turn>", "<eos>"]


CHATS: dict[str, tuple[str | None, Template]] = {
    "chat": ("gemma", Template.AUTO),
    "paper": ("gemma", Template.PAPER),
    "paper without a template": (None, Template.AUTO),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHATS)
def test_the_chat_template_renders_a_prompt_as_training_did(tmp_path: Path, name: str) -> None:
    style, template = CHATS[name]
    model = found(tiny_model(tmp_path / "m", style), template=template)
    place = delivered(tmp_path / "t", trained(tmp_path / "t", model))
    check_prompts(place, model, [user("1 + 1?")])
    if template is Template.PAPER:
        told = (Message(role=Role.SYSTEM, content="Be brief."), *user("1?"))
        more = (*told, Message(role=Role.ASSISTANT, content="1"), *user("Why?"))
        check_prompts(place, model, [told, more])


# Not marked slow: `make check` delivers at least one model.
def test_the_built_in_models_way_is_a_chat_template_too(tmp_path: Path) -> None:
    model = found("builtin:strong")
    place = delivered(tmp_path / "t", trained(tmp_path / "t", model))
    check_prompts(place, model, [user("tom has 4 apples . how many ?")])
    assert not (place / "adapter_config.json").exists()  # nobody else can load a built-in model by its name


def check_prompts(place: Path, model: ModelConfig, prompts: list[tuple[Message, ...]]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    for prompt in prompts:
        turns = [{"role": str(message.role), "content": message.content} for message in prompt]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == renderer_of(model).prompt(prompt)


@pytest.mark.slow
@pytest.mark.parametrize("merge", [False, True])
def test_one_command_tries_the_model(tmp_path: Path, merge: bool) -> None:
    model = found(tiny_model(tmp_path / "m", "gemma"))
    place = delivered(tmp_path / "t", trained(tmp_path / "t", model), merge)
    done = subprocess.run(
        [sys.executable, str(place / TRY_IT), "1 + 1?"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert "<end_of_turn>" not in done.stdout


# --- an adapter as the model


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """Return an adapter that was trained and delivered, beside its base `m`."""
    (tmp_path / "first").mkdir()
    return delivered(tmp_path / "first", trained(tmp_path / "first", found(tiny_model(tmp_path / "m", "gemma"))))


@pytest.mark.slow
@pytest.mark.parametrize("use", AdapterUse)
def test_an_adapter_is_a_model_and_ends_as_its_base_does(adapter: Path, tmp_path: Path, use: AdapterUse) -> None:
    model = found(adapter, adapter=use)
    assert model.end == "<end_of_turn>"
    artifact = base(tmp_path / "again", model)
    first = Artifact(path=str(tmp_path / "first" / "trained"), kind="train", fingerprint="first")
    assert scores(artifact) == pytest.approx(scores(first), abs=1e-3)


@pytest.mark.slow
def test_a_merged_adapter_is_trained_as_a_new_model_and_delivered_whole(adapter: Path, tmp_path: Path) -> None:
    learned = trained(tmp_path / "second", found(adapter, adapter=AdapterUse.MERGE), LONGER)
    assert better(learned, tmp_path)
    place = delivered(tmp_path / "second", learned)
    assert not (place / "adapter_config.json").exists()
    loaded = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    assert scores_of(loaded, found(tmp_path / "m")) == pytest.approx(scores(learned), abs=1e-3)


@pytest.mark.slow
def test_a_continued_adapter_stays_one_on_the_first_base(adapter: Path, tmp_path: Path) -> None:
    """The rank is the adapter's own, not the setting's."""
    settings = LONGER.model_copy(update={"lora": LoraConfig(r=2, alpha=2)})
    learned = trained(tmp_path / "second", found(adapter, adapter=AdapterUse.CONTINUE), settings)
    assert better(learned, tmp_path)
    place = delivered(tmp_path / "second", learned)
    config = json.loads((place / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, str((tmp_path / "m").resolve()))
    loaded = peft.AutoPeftModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    assert scores_of(loaded, found(tmp_path / "m")) == pytest.approx(scores(learned), abs=1e-3)
    again = load(Path(learned.path), torch.device("cpu"), {})
    assert scores_of(again.model, found(tmp_path / "m")) == pytest.approx(scores(learned), abs=1e-3)


def better(learned: Artifact, tmp_path: Path) -> bool:
    first = Artifact(path=str(tmp_path / "first" / "trained"), kind="train", fingerprint="first")
    return sum(scores(learned)) > sum(scores(first)) + 0.1


@pytest.mark.slow
def test_an_adapter_is_known_by_its_weights_and_its_base(adapter: Path, tmp_path: Path) -> None:
    known = identity(adapter)
    path, moved = adapter / "adapter_config.json", (tmp_path / "m").rename(tmp_path / "n")
    with pytest.raises(
        ConfigError, match=r"model: '.*adapter_config\.json' names the base model '.*/m', which does not"
    ):
        identity(adapter)
    name_base(adapter, found(moved))
    assert identity(adapter) == known  # the base lies elsewhere, and is the same
    name_base(adapter, found(tiny_model(tmp_path / "other", "qwen")))
    assert identity(adapter) != known
    name_base(adapter, found(moved))
    before = content_of_adapter(adapter, "base")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 99}))
    assert content_of_adapter(adapter, "base") != before


@pytest.mark.slow
def test_settings_that_do_not_fit_an_adapter(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model: layers: 1 found, but '.*' is an adapter"):
        found(adapter, layers=1)
    with pytest.raises(ConfigError, match=r"model: adapter: continue found, but '.*' is no adapter's folder"):
        found(tmp_path / "m", adapter=AdapterUse.CONTINUE)
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"model: '.*adapter_config\.json' names no base model"):
        found(adapter)
