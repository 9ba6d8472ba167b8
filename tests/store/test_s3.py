"""A store in a bucket of S3, played by moto's server in another process, and the faults of such a service."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from click.testing import CliRunner
from experiment import Quiet, fake, small

from burnish.cli import main
from burnish.errors import StageError
from burnish.lab.running import run
from burnish.store import bucket
from burnish.store.bucket import open_bucket
from burnish.store.opening import open_store
from burnish.store.runners import Executor
from burnish.store.stages import Stage, Work

SECRET = "sEcReT0fTheStore/never+written"
SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
import sys
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """The URL of a server that speaks S3 and has a bucket `burnish`."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/burnish", method="PUT")).close()
        yield url
        process.stdin.close()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Credentials in the environment and few retries. A test sets the endpoint."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "known",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "BURNISH_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    quick = timedelta(milliseconds=1)
    backoff = {"init_backoff": quick, "max_backoff": quick, "base": 2}
    monkeypatch.setattr(
        bucket, "RETRIES", {"max_retries": 4, "backoff": backoff, "retry_timeout": timedelta(seconds=5)}
    )
    return monkeypatch


def one_stage() -> Stage:
    def run(work: Work) -> None:
        (work.path / "out.txt").write_text("result")

    return Stage(name="write", version=1, config={}, inputs={}, run=run)


@pytest.mark.slow
def test_a_stage_is_shared_through_s3_and_one_of_many_writers_wins(
    server: str, endpoint: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL", server)
    place = Path(Executor(open_store("s3://burnish/shared"), Quiet(), {}).run(one_stage()).path)
    shutil.rmtree(tmp_path / "cache")
    calls: list[str] = []
    other = Stage(name="write", version=1, config={}, inputs={}, run=lambda _: calls.append("again"))
    again = Path(Executor(open_store("s3://burnish/shared"), Quiet(), {}).run(other).path)
    assert (place, calls, (again / "out.txt").read_text()) == (again, [], "result")

    def write(number: int) -> bool:
        return open_bucket("s3://burnish/race").create("manifest", b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert open_bucket("s3://burnish/race").read("manifest") == b"%d" % won.index(True)


@pytest.mark.slow
def test_the_commands_work_on_a_bucket_and_the_key_is_nowhere(
    server: str, endpoint: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Run, run on another host, explain, dry run, gc. Then search all that was written and said for the key."""
    endpoint.setenv("AWS_ENDPOINT_URL", server)
    endpoint.chdir(tmp_path)
    place, config = "s3://burnish/commands", small(methods=[{"kind": "sft"}])
    Path("small.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    said = ""

    def burnish(*arguments: str) -> str:
        nonlocal said
        done = CliRunner().invoke(main, [*arguments, "--store", place])
        said += done.output + done.stderr
        assert done.exit_code == 0, done.output
        return done.stdout

    trained: list[str] = []
    run(config, Path("first"), Path(place), backend=fake)
    shutil.rmtree("cache")
    run(config, Path("again"), Path(place), backend=lambda: fake(trained.append))
    assert trained == []
    assert Path("first/results.json").read_bytes() == Path("again/results.json").read_bytes()
    assert " 0 to run" in burnish("explain", "small.yaml")
    assert " 0 to run" in burnish("run", "small.yaml", "--dry-run")
    assert json.loads(burnish("gc", "--json"))["removed"] == []
    store = open_bucket(place)
    objects = [store.read(key) or b"" for key in store.listed("")]
    for folder in ("first", "again"):
        shutil.rmtree(folder)
    assert json.loads(burnish("gc", "--json"))["removed"]
    assert store.listed("") == {}
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(objects) > 20
    assert files
    assert not [data for data in (*objects, *files, said.encode()) if SECRET.encode() in data]


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers with the statuses in `answers`, one after the other. Then each object is missing."""

    answers: list[HTTPStatus]

    def do_GET(self) -> None:
        status = self.answers.pop(0) if self.answers else HTTPStatus.NOT_FOUND
        words = (
            f"<Error><Code>{status.phrase}</Code><Message>{self.headers['Authorization']}</Message></Error>".encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


@pytest.fixture
def refusing() -> Generator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as refuser:
        threading.Thread(target=refuser.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{refuser.server_address[1]}"
        refuser.shutdown()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([HTTPStatus.FORBIDDEN], "access is refused; check the credentials"),
        ([HTTPStatus.SERVICE_UNAVAILABLE] * 20, r"cannot be used \(503 Service Unavailable\)"),
    ],
)
def test_a_refusal_of_the_service_is_a_named_error_without_its_words(
    endpoint: pytest.MonkeyPatch, refusing: str, answers: list[HTTPStatus], words: str
) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL", refusing)
    Refusing.answers = answers
    with pytest.raises(StageError, match=f"s3://burnish/x: .*{words}") as caught:
        open_bucket("s3://burnish/x").read("key")
    assert "Credential" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_throttling_is_tried_again(endpoint: pytest.MonkeyPatch, refusing: str) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL", refusing)
    Refusing.answers = [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE]
    assert open_bucket("s3://burnish/x").read("key") is None
    assert Refusing.answers == []


def test_an_endpoint_that_does_not_answer_commits_nothing(endpoint: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = CliRunner().invoke(main, ["gc", "--store", "s3://burnish/x"])
    assert done.exit_code == 2
    assert "the object store cannot be used (no answer); check the network" in done.stderr
    assert SECRET not in done.stderr
    with pytest.raises(StageError):
        Executor(open_store("s3://burnish/x"), Quiet(), {}).run(one_stage())
    assert not list((tmp_path / "cache").glob("*/stages/*/*"))
