"""The token that ends a turn comes from the chat template: what is learned, where generation stops, what is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from embedded import backend, base, user
from tiny_models import GEMMA, STYLES, tiny_model

from burnish.backends.load import load, renderer_of
from burnish.backends.preview import rendered
from burnish.backends.turns import end_of
from burnish.config import Decoding, DType, Execution, ModelConfig, Template
from burnish.errors import ConfigError
from burnish.inputs.models import resolve_model
from burnish.protocols import SamplingKey
from burnish.types import Prompt, TrainingRow

torch: Any = pytest.importorskip("torch")
ROW = TrainingRow(id="a", prompt=user("Hi"), completion="Yes")
OTHER = ["gemma", "phi", "qwen"]
"""Styles whose turns end with another token than a sequence."""


def found(folder: Path, **settings: Any) -> ModelConfig:
    model = ModelConfig(source=str(folder), dtype=DType.FLOAT32, **settings)
    return resolve_model(model, "model", Execution(device="cpu"), offline_ok=False)[0]


@pytest.mark.parametrize("style", STYLES)
def test_the_end_is_what_the_template_writes_after_an_answer(tmp_path: Path, style: str) -> None:
    _, _, eos, end = STYLES[style]
    model = found(tiny_model(tmp_path / style, style))
    assert model.end == (None if end == eos else end)
    assert renderer_of(model).end_text == end
    assert model.model_dump(mode="json").get("end") == model.end  # left out where nothing changes


@pytest.mark.parametrize("style", OTHER)
def test_training_supervises_the_end_of_a_turn_alone(tmp_path: Path, style: str) -> None:
    renderer = renderer_of(found(tiny_model(tmp_path, style)))
    _, _, eos, end = STYLES[style]
    tokens = renderer.row(ROW, 500)
    supervised = [label for label in tokens.labels if label != -100]
    assert renderer.tokenizer.decode(supervised) == f"Yes{end}"
    assert renderer.tokenizer.convert_tokens_to_ids(eos) not in supervised
    whole = renderer.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}], tokenize=True
    )["input_ids"]
    assert whole[: len(tokens.ids)] == tokens.ids  # the row is the start of the conversation as the template writes it


@pytest.mark.parametrize("style", OTHER)
def test_generation_stops_at_the_end_of_a_turn_and_at_the_end_of_a_sequence(tmp_path: Path, style: str) -> None:
    """The head's weights make one token the only one that the model ever writes."""
    model = found(tiny_model(tmp_path / "m", style))
    artifact = base(tmp_path / "base", model)
    _, _, eos, end = STYLES[style]
    for token, finished in ((end, True), (eos, True), ("A", False)):
        engine = backend()
        loaded = engine._load(artifact)  # pyright: ignore[reportPrivateUsage]
        id_ = loaded.renderer.tokenizer.convert_tokens_to_ids(token)
        _always(loaded.model, id_)
        ((answer,),) = engine.generate(
            artifact,
            [Prompt(id="a", messages=user("Hi"))],
            Decoding(beams=1, max_new_tokens=4),
            SamplingKey(seed=0, stage="t", round=0),
            set(),
        )
        assert (answer.finished, answer.tokens) == ((True, 1) if finished else (False, 4))
        assert answer.text == ("" if finished else "AAAA")


def _always(model: Any, token: int) -> None:
    """Make a token the most likely one everywhere."""
    original = model.forward

    def forward(*values: Any, **named: Any) -> Any:
        output = original(*values, **named)
        output.logits = torch.zeros_like(output.logits)
        output.logits[..., token] = 10.0
        return output

    model.forward = forward


@pytest.mark.parametrize("style", OTHER)
def test_likelihood_scores_the_end_of_a_turn(tmp_path: Path, style: str) -> None:
    model = found(tiny_model(tmp_path / "m", style))
    artifact = base(tmp_path / "base", model)
    ((score,),) = backend().logprobs(artifact, [ROW], set())
    loaded = load(Path(artifact.path), torch.device("cpu"), {})
    tokens = loaded.renderer.row(ROW, 500)
    assert loaded.renderer.tokenizer.decode(tokens.ids[-1]) == STYLES[style][3]
    with torch.no_grad():
        logprob_TV = torch.log_softmax(loaded.model(torch.tensor([tokens.ids])).logits[0].double(), dim=-1)
    expected = sum(logprob_TV[i - 1, tokens.ids[i]].item() for i in range(tokens.prompt_length, len(tokens.ids)))
    assert score.value == pytest.approx(expected, abs=1e-4)
    assert score.tokens == 4  # Y, e, s and the end


def test_a_setting_names_the_end(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path, "gemma")
    assert found(folder, end="<start_of_turn>").end == "<start_of_turn>"
    assert found(folder, end="<eos>").end is None  # the tokenizer's own: the old identity and the old meaning
    assert renderer_of(found(folder, end="<eos>")).end_text == "<eos>"
    assert found(folder, template=Template.PAPER).end is None
    with pytest.raises(ConfigError, match=r"end: '<nothing>' is 9 tokens of its tokenizer; name one token.*'<eos>'"):
        found(folder, end="<nothing>")


def test_a_template_that_marks_no_end_leaves_it_to_the_tokenizer(tmp_path: Path) -> None:
    plain = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    assert found(tiny_model(tmp_path / "a", "gemma", plain)).end is None
    assert found(tiny_model(tmp_path / "b")).end is None  # no template at all
    assert found(tiny_model(tmp_path / "c"), chat_template=GEMMA.replace("<end_of_turn>", "</s>")).end is None


def test_the_rendered_row_shows_the_end(tmp_path: Path) -> None:
    shown = rendered(found(tiny_model(tmp_path, "gemma")), ROW)
    assert shown.prompt == "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    assert (shown.supervised, shown.end) == ("Yes<end_of_turn>", "<end_of_turn>")


def test_end_of_is_none_for_the_tokenizer_s_own(tmp_path: Path) -> None:
    assert end_of(ModelConfig(source=str(tiny_model(tmp_path, "smollm")), dtype=DType.FLOAT32)) is None
