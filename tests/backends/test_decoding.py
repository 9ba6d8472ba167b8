"""Answers are those of the library alone, although prompts are read once and rows that have ended leave the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from embedded import PROBLEMS, backend, trained, user

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

from burnish.backends import decoding  # noqa: E402
from burnish.backends.decoding import decode  # noqa: E402
from burnish.backends.load import load  # noqa: E402
from burnish.config import Decoding  # noqa: E402
from burnish.protocols import SamplingKey  # noqa: E402
from burnish.types import Artifact, Prompt  # noqa: E402

KEY = SamplingKey(seed=0, stage="test", round=0)
GREEDY = Decoding(beams=1, max_new_tokens=24)
BEAMS = Decoding(beams=4, max_new_tokens=24)
VOCABULARY = 64
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "pad_token_id": 0,
    # With tied ones, a model with random weights repeats its last token.
    "tie_word_embeddings": False,
}


class Passes:
    """Notes how many rows and columns each pass through a model's body has."""

    def __init__(self, model: Any) -> None:
        self.shapes: list[tuple[int, int]] = []
        model.base_model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, _: Any, inputs: Any, named: dict[str, Any]) -> None:
        ids_BT = named["input_ids"] if named.get("input_ids") is not None else inputs[0]
        self.shapes.append(tuple(ids_BT.shape))

    @property
    def read(self) -> list[int]:
        """The rows of the passes that read prompts."""
        return [rows for rows, columns in self.shapes if columns > 1]

    @property
    def steps(self) -> list[int]:
        """The rows of the passes over one new token."""
        return [rows for rows, columns in self.shapes if columns == 1]


def alone(model: Any, ids: Sequence[Sequence[int]], settings: Decoding) -> list[list[int]]:
    """Return what the library writes without help."""
    longest = max(len(row) for row in ids)
    input_BT = torch.tensor([[0] * (longest - len(row)) + list(row) for row in ids])
    mask_BT = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
    with torch.inference_mode():
        return model.generate(
            input_ids=input_BT,
            attention_mask=mask_BT,
            num_beams=settings.beams,
            max_new_tokens=settings.max_new_tokens,
            do_sample=False,
        )[:, longest:].tolist()


def until_end(model: Any, rows: Sequence[list[int]]) -> list[list[int]]:
    ends = model.generation_config.eos_token_id
    stops = [next((place + 1 for place, token in enumerate(row) if token in ends), len(row)) for row in rows]
    return [row[:stop] for row, stop in zip(rows, stops, strict=True)]


def tiny(name: str, **sizes: Any) -> Any:
    """Return a model with random weights, and so many ends that its rows end at very different times."""
    torch.manual_seed(0)
    text = "Text" if name == "Gemma3" else ""
    config = getattr(transformers, f"{name}{text}Config")(**SIZES | sizes)
    # Weights larger than the usual 0.02, so that the probabilities of tokens differ.
    config.initializer_range = 0.5
    kind = "LMHeadModel" if name == "GPT2" else "ForCausalLM"
    model = getattr(transformers, f"{name}{kind}")(config).eval()
    model.generation_config = transformers.GenerationConfig(pad_token_id=0, eos_token_id=list(range(1, 9)))
    return model


def prompts(count: int = 24, least: int = 2, most: int = 12) -> list[list[int]]:
    drawn = torch.Generator().manual_seed(1)
    lengths = torch.randint(least, most + 1, (count,), generator=drawn).tolist()
    return [torch.randint(9, VOCABULARY, (length,), generator=drawn).tolist() for length in lengths]


SLIDING: dict[str, Any] = {"sliding_window": 4}
MODELS: dict[str, dict[str, Any]] = {
    "Llama": {},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": None, "eos_token_id": None},
    "Bloom": {"n_layer": 2, "n_head": 2},
    # The prompts are longer than the window.
    "Mistral": SLIDING,
    "Gemma2": SLIDING,
    "Gemma3": SLIDING | {"layer_types": ["sliding_attention", "full_attention"]},
}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
ELSEWHERE: dict[str, dict[str, Any]] = {
    # Its positions are of another kind once the longest row has more than 16 of them.
    "Phi3": {
        "original_max_position_embeddings": 16,
        "max_position_embeddings": 64,
        "rope_parameters": LONG,
        "num_key_value_heads": 2,
    },
    # These keep states that do not grow column by column.
    "Mamba": {"state_size": 4},
    "RecurrentGemma": {"lru_width": 32, "attention_window_size": 4, "block_types": ["recurrent", "attention"]},
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [GREEDY, BEAMS], ids=["greedy", "beams"])
@pytest.mark.parametrize("name", MODELS)
def test_the_tokens_are_those_of_the_library_alone(name: str, settings: Decoding) -> None:
    model, ids = tiny(name, **MODELS[name]), prompts()
    expected = until_end(model, alone(model, ids, settings))
    passes = Passes(model)
    assert until_end(model, decode(model, ids, settings)) == expected
    assert len({len(row) for row in expected}) > 3  # rows do end at different times
    if settings is BEAMS:
        assert passes.read == [len(ids)]  # each prompt is read once, not once for each beam
        assert set(passes.steps) == {len(ids) * 4}
    else:
        assert passes.read[0] == len(ids)
        assert passes.steps == sorted(passes.steps, reverse=True)
        assert passes.steps[-1] < len(ids)  # rows that had ended have left


@pytest.mark.parametrize("settings", [GREEDY, BEAMS], ids=["greedy", "beams"])
@pytest.mark.parametrize(
    "name", ["Llama", *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "Llama")]
)
def test_prompts_that_are_read_in_pieces_give_the_same_tokens(name: str, settings: Decoding) -> None:
    model, ids = tiny(name, **MODELS[name]), prompts()
    ids += ids[:5]  # rows with the same prompt share its reading, also here
    expected = until_end(model, decode(model, ids, settings))
    passes = Passes(model)
    assert until_end(model, decode(model, ids, settings, read_tokens=50)) == expected
    window = "sliding_window" in MODELS[name]  # such caches cannot be joined
    assert (len(passes.read) > 1) is not window
    assert sum(passes.read) == 24


def test_a_prompt_of_one_token_among_others_is_read_with_them() -> None:
    model, ids = tiny("Llama"), [*prompts(), [9]]
    expected = until_end(model, decode(model, ids, GREEDY))
    assert until_end(model, decode(model, ids, GREEDY, read_tokens=30)) == expected


@pytest.mark.parametrize("settings", [GREEDY, BEAMS], ids=["greedy", "beams"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_model_with_another_cache_is_left_to_the_library(name: str, settings: Decoding) -> None:
    model, ids = tiny(name, **ELSEWHERE[name]), prompts(12)
    expected = alone(model, ids, settings)
    passes = Passes(model)
    assert decode(model, ids, settings) == expected
    assert passes.read[0] == len(ids) * settings.beams


@pytest.mark.parametrize("settings", [GREEDY, BEAMS], ids=["greedy", "beams"])
def test_prompts_of_one_token_have_nothing_to_share(settings: Decoding) -> None:
    model, ids = tiny("Llama"), prompts(12, least=1, most=1)
    assert until_end(model, decode(model, ids, settings)) == until_end(model, alone(model, ids, settings))


def test_few_rows_stay_together() -> None:
    model, ids = tiny("Llama"), prompts(decoding.FEW - 1)
    passes = Passes(model)
    expected = until_end(model, decode(model, ids, GREEDY))
    assert len({len(row) for row in expected}) > 1
    assert set(passes.steps) == {len(ids)}


def test_without_an_end_every_row_is_full() -> None:
    model, ids = tiny("Llama"), prompts()
    model.generation_config.eos_token_id = None
    assert {len(row) for row in decode(model, ids, GREEDY)} == {24}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trained(tmp_path_factory.mktemp("decoding"))


@pytest.mark.slow
def test_beams_of_the_embedded_model_are_those_of_the_library_alone(model: Artifact) -> None:
    loaded = load(Path(model.path), torch.device("cpu"), {})
    ids = [loaded.renderer.prompt(user(problem.question)) for problem in PROBLEMS]
    for settings in (GREEDY, BEAMS):
        expected = until_end(loaded.model, alone(loaded.model, ids, settings))
        assert until_end(loaded.model, decode(loaded.model, ids, settings)) == expected


@pytest.mark.slow
def test_samples_do_not_depend_on_the_batch_and_share_their_prompts_reading(model: Artifact) -> None:
    """Samples of one prompt, rows that leave the batch, batches of any size and other rows: each draw is the same."""
    settings = Decoding(beams=1, max_new_tokens=32, temperature=1.0)
    asked = [
        Prompt(id=str(number), messages=user(problem.question), sample=sample)
        for number, problem in enumerate(PROBLEMS[:16])
        for sample in range(6)
    ]

    def answers(asked: Sequence[Prompt], batch_tokens: int) -> tuple[dict[tuple[str, int], tuple[str, bool]], Passes]:
        one = backend(batch_tokens=batch_tokens)
        passes = Passes(one._load(model).model)  # pyright: ignore[reportPrivateUsage]
        found = one.generate(model, asked, settings, KEY, set())
        return {(a.id, a.sample): (a.text, a.finished) for batch in found for a in batch}, passes

    together, passes = answers(asked, 100_000)
    assert passes.read[0] == len({problem.question for problem in PROBLEMS[:16]})
    assert passes.steps[-1] < passes.steps[0] == len(asked)  # rows have left
    assert len(set(together.values())) > 16  # samples of one prompt differ
    apart, passes = answers(asked, 1)
    assert set(passes.steps) == {1}
    assert apart == together
    some = asked[::-5]
    assert answers(some, 700)[0] == {(one.id, one.sample): together[one.id, one.sample] for one in some}
