"""One deadline a call and a greatest size of a body, against servers on plain sockets; what is masked of a key."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

import pytest
from servers import judge_config

from burnish.annotators.llm.server import Server
from burnish.services import bounded
from burnish.services.bounded import UnfitBodyError, limited, unpacked
from burnish.services.calls import Reply
from burnish.services.endpoint import Failure, Why, masked

pytest.importorskip("openai")

ANSWER = json.dumps({"choices": [{"message": {"content": "B"}, "finish_reason": "stop"}]}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def read_request(connection: socket.socket) -> None:
    """Read all of it: a connection that is closed with something unread is reset."""
    with connection.makefile("rb") as lines:
        length = 0
        while (line := lines.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        lines.read(length)


@contextmanager
def sending(pieces: Callable[[threading.Event], Iterable[bytes]]) -> Generator[str]:
    """Serve connections one after the other: each gets the pieces, whatever it asked. Yields the address."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    read_request(connection)
                    try:
                        for piece in pieces(over):
                            connection.sendall(piece)
                    except OSError:
                        continue  # the client went away

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


def asked(address: str, timeout: float = 20.0) -> Reply | Failure:
    server = Server(judge_config(address, timeout=timeout, retries=0))
    return server.ask({"model": "test", "messages": [{"role": "user", "content": "?"}]}, lambda seconds: True)


def packed(body: bytes, encoding: str = "gzip") -> list[bytes]:
    return [HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["headers", "body"])
def test_a_server_that_sends_a_byte_at_a_time_does_not_outlive_the_timeout(place: str) -> None:
    whole = HEAD + f"Content-Length: {len(ANSWER)}\r\n\r\n".encode() + ANSWER
    early = 20 if place == "headers" else len(whole) - 40

    def dripping(over: threading.Event) -> Iterable[bytes]:
        yield whole[:early]
        for byte in whole[early:]:  # at least 4 s in all: whoever waits from byte to byte gets the answer
            over.wait(0.1)
            yield bytes([byte])

    with sending(dripping) as address:
        outcome = asked(address, timeout=0.5)
    assert outcome == Failure(why=Why.UNANSWERED, text="no answer within 0.5 s")


def test_a_slow_answer_within_the_timeout_is_read() -> None:
    def slow(over: threading.Event) -> Iterable[bytes]:
        yield HEAD + f"Content-Length: {len(ANSWER)}\r\n\r\n".encode()
        for place in range(0, len(ANSWER), 20):
            time.sleep(0.01)
            yield ANSWER[place : place + 20]

    with sending(slow) as address:
        outcome = asked(address)
    assert isinstance(outcome, Reply)
    assert outcome.text == "B"


def test_a_packed_answer_is_read_and_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    with sending(lambda over: packed(gzip.compress(ANSWER))) as address:
        outcome = asked(address)
    assert isinstance(outcome, Reply)
    assert outcome.text == "B"
    monkeypatch.setattr(bounded, "LARGEST_BODY", 2**20)
    bomb = gzip.compress(b"0" * 2**25)
    assert len(bomb) < 2**16
    with sending(lambda over: packed(bomb)) as address:
        outcome = asked(address)
    assert outcome == Failure(why=Why.UNREADABLE, text="the body has more than 1,048,576 bytes")


def test_a_body_without_end_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST_BODY", 2**20)

    def endless(over: threading.Event) -> Iterable[bytes]:
        yield HEAD + b"\r\n"
        while not over.is_set():
            yield b" " * 2**16

    with sending(endless) as address:
        outcome = asked(address)
    assert outcome == Failure(why=Why.UNREADABLE, text="the body has more than 1,048,576 bytes")


def test_other_packings_and_damaged_ones_are_no_answer() -> None:
    with sending(lambda over: packed(b"\x0b\x02\x80", "br")) as address:
        outcome = asked(address)
    assert outcome == Failure(why=Why.UNREADABLE, text="the body is packed with 'br', which was not asked for")
    with sending(lambda over: packed(b"no gzip")) as address:
        outcome = asked(address)
    assert isinstance(outcome, Failure)
    assert (outcome.why, outcome.text[:28]) == (Why.UNREADABLE, "the body cannot be unpacked ")


def test_the_body_of_an_error_is_dropped_where_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST_COMPLAINT", 1000)
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 5000\r\n\r\n"
    with sending(lambda over: [head, b"x" * 5000]) as address:
        outcome = asked(address)
    assert isinstance(outcome, Failure)
    assert (outcome.why, outcome.status) == (Why.REFUSED, 400)


def test_pieces_are_small_however_well_they_were_packed() -> None:
    pieces = list(unpacked([gzip.compress(b"0" * 2**22)], "gzip"))
    assert max(map(len, pieces)) <= 2**16
    assert b"".join(pieces) == b"0" * 2**22
    split = gzip.compress(b"some text")
    assert b"".join(unpacked([split[:7], split[7:]], " GZIP ")) == b"some text"
    assert list(unpacked([b"a", b"b"], "")) == [b"a", b"b"]
    with pytest.raises(UnfitBodyError, match="cannot be unpacked"):
        list(unpacked([zlib.compress(b"x")], "gzip"))


def test_the_limit_is_the_last_size_that_passes() -> None:
    assert list(limited([b"ab", b"c"], 3)) == [b"ab", b"c"]
    with pytest.raises(UnfitBodyError, match="more than 3 bytes"):
        list(limited([b"ab", b"cd"], 3))


SECRET = "sk-very-secret-0123456789"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {SECRET} is wrong", "key *** is wrong"),
        ("key sk-very-secret-01... is wrong", "key ***... is wrong"),
        ("sk-ver", "***"),
        ("sk-ve", "sk-ve"),  # five characters say nothing
        (f"{SECRET}{SECRET}!", "******!"),
        ("sk-very-wrong", "***wrong"),
        ("sk-other", "sk-other"),
        ("", ""),
    ],
)
def test_a_key_and_its_beginnings_are_masked(text: str, shown: str) -> None:
    assert masked(text, SECRET) == shown
    assert masked(text, None) == text
