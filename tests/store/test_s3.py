"""A store in a bucket of S3, played by moto's server in another process, and the faults of such a service."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import judging_host
import pytest
from click.testing import CliRunner
from experiment import Quiet, fake, small
from servers import FaultServer, prefers_good
from working import DECODE, TWO, faked

from burnish.cli import main
from burnish.errors import StageError
from burnish.lab.running import run
from burnish.store import bucket
from burnish.store.bucket import Bucket, open_bucket
from burnish.store.opening import open_store
from burnish.store.runners import Executor
from burnish.store.stages import Stage, Work

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from bench_bucket import credentials, s3_server

SECRET = "sEcReT0fTheStore/never+written"


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """The URL of a server that speaks S3 and has a bucket `burnish`."""
    with s3_server() as url:
        yield url


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Credentials in the environment and few retries. A test sets the endpoint."""
    for name, value in (credentials("", SECRET) | {"BURNISH_CACHE": str(tmp_path / "cache")}).items():
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


@pytest.mark.slow
def test_worker_processes_on_a_bucket_compute_what_one_process_computes(
    server: str, endpoint: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two workers, of which one dies with SIGKILL. `benchmarks/bucket_kills.py` kills whole hosts, with real models."""
    endpoint.setenv("AWS_ENDPOINT_URL", server)
    settings: dict[str, Any] = {"methods": [{"kind": "ilr", "rounds": 1}], "decode": DECODE}
    run(small(**settings), tmp_path / "plain", tmp_path / "store", backend=fake)
    faked(endpoint, f"die:1:round 1:{tmp_path / 'deaths'}")
    out = run(small(**settings, execution=TWO), tmp_path / "out", Path("s3://burnish/workers")).out
    assert (tmp_path / "deaths").read_text() == "."
    for name in ("results.json", "changes.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.slow
def test_hosts_share_a_limit_of_calls_and_a_killed_one_breaks_it_not(
    server: str, endpoint: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("openai")
    endpoint.setenv("AWS_ENDPOINT_URL", server)

    def slowly(prompt: str) -> Mapping[str, float]:
        time.sleep(0.1)  # so that a kill finds calls under way
        return prefers_good(prompt)

    with FaultServer(rule=slowly) as judge:

        def start(host: int) -> subprocess.Popen[str]:
            words = (str(tmp_path / str(host)), judge.address, "s3://burnish/budget", str(100 * host))
            return subprocess.Popen(
                [sys.executable, judging_host.__file__, *words],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "AWS_ENDPOINT_URL": server},
            )

        processes = [start(0), start(1)]
        for kills in (1, 2):
            while judge.asked.total() < 8 * kills:
                assert processes[0].poll() in {None, 3}
                time.sleep(0.01)
            processes[1].kill()
            processes[1].wait()
            processes[1] = start(1)
        said = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [3, 3]
        assert any("calls are spent or reserved on all machines that share the store" in text for text in said)
        # A killed host loses what it had taken, at most a block of 8 calls and the 4 that were under way.
        assert judging_host.LIMIT - 2 * 12 <= judge.asked.total() <= judging_host.LIMIT


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers with the statuses in `answers`, one after the other. Then each object is missing, and is written."""

    answers: list[HTTPStatus]

    def do_GET(self) -> None:
        self._say(self.answers.pop(0) if self.answers else HTTPStatus.NOT_FOUND)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(self.answers.pop(0) if self.answers else HTTPStatus.OK)

    def _say(self, status: HTTPStatus) -> None:
        words = (
            f"<Error><Code>{status.phrase}</Code><Message>{self.headers['Authorization']}</Message></Error>".encode()
        )
        self.send_response(status)
        self.send_header("ETag", '"1"')
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


def test_throttling_of_a_manifest_is_tried_again_and_it_is_written_once(
    endpoint: pytest.MonkeyPatch, refusing: str
) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL", refusing)
    Refusing.answers = [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE]
    assert open_bucket("s3://burnish/x").create("manifests/a", b"data")
    assert Refusing.answers == []
    # The first request was carried out, and its answer was lost. Then the object of the second one is there: another
    # host's, since its bytes differ from ours.
    Refusing.answers = [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.NOT_FOUND]
    assert not open_bucket("s3://burnish/x").create("manifests/a", b"data")


def test_a_key_that_may_not_write_ends_a_run_before_anything_is_computed(
    endpoint: pytest.MonkeyPatch, refusing: str, tmp_path: Path
) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL", refusing)
    trained: list[str] = []
    Refusing.answers = []

    def refuse(server: Refusing) -> None:
        server._say(HTTPStatus.FORBIDDEN)

    def nothing(_bucket: Bucket, _prefix: str) -> dict[str, object]:
        return {}

    endpoint.setattr(Refusing, "do_PUT", refuse)
    endpoint.setattr(Bucket, "listed", nothing)
    with pytest.raises(StageError, match="access is refused; check the credentials in the environment, and that they"):
        run(small(), tmp_path / "out", Path("s3://burnish/x"), backend=lambda: fake(trained.append))
    assert trained == []
    assert not list((tmp_path / "cache").glob("*/stages/*/*"))


def test_an_endpoint_that_does_not_answer_commits_nothing(endpoint: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endpoint.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = CliRunner().invoke(main, ["gc", "--store", "s3://burnish/x"])
    assert done.exit_code == 2
    assert "the object store cannot be used (no answer); check the network" in done.stderr
    assert SECRET not in done.stderr
    with pytest.raises(StageError):
        Executor(open_store("s3://burnish/x"), Quiet(), {}).run(one_stage())
    assert not list((tmp_path / "cache").glob("*/stages/*/*"))
