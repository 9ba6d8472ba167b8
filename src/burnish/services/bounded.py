"""An HTTP client with a deadline for the whole call and a limit on the size of a body.

The HTTP library itself has neither. Its timeout counts from one byte to the next. So it waits for ever for a server
that sends a byte every half second. And it unpacks a compressed body as a whole, however large the body becomes.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openai

LARGEST_BODY = 64 * 2**20
"""The most bytes of the body of an answer, counted after unpacking. Embeddings of 64 texts with 3,072 numbers each take
5 MB. A reply of 30,000 tokens with the log-probabilities of 20 tokens at each place takes 48 MB."""
LARGEST_COMPLAINT = 2**20
"""The most bytes of the body of an error. A larger body is dropped."""
_SHORTEST = 1e-3
"""The seconds that a read gets after the deadline. Zero would mean a socket that does not block."""
_PIECE = 2**16
"""The number of bytes that are unpacked at a time."""


class UnfitBodyError(Exception):
    """A successful answer came, but its body is too large or cannot be unpacked."""


class _Clock(threading.local):
    """The deadline of the call that a thread is making.

    Each thread has its own deadline, because many threads share a client.
    """

    end: float | None = None

    def left(self, timeout: float | None) -> float | None:
        """Return how many seconds the next step may take: `timeout`, or less if the deadline is near."""
        if self.end is None:
            return timeout
        left = max(self.end - time.monotonic(), _SHORTEST)
        return left if timeout is None else min(timeout, left)


def bounded_client(timeout: float) -> openai.DefaultHttpxClient:
    """Return an HTTP client for the SDK.

    A call that takes longer than `timeout` seconds, from its first byte to its last, raises the library's own timeout
    error. A body that is too large raises UnfitBodyError.
    """
    import openai

    clock = _Clock()

    class Bounded(openai.DefaultHttpxClient):
        def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            clock.end = time.monotonic() + timeout
            try:
                # As a stream: otherwise the library reads and unpacks the whole body before anything can be counted.
                return _read_whole(super().send(request, stream=True, **options))
            finally:
                clock.end = None

    # Only gzip can be unpacked piece by piece with the standard library.
    client = Bounded(timeout=timeout, headers={"Accept-Encoding": "gzip"})
    _keep_time(client, clock)
    return client


def _read_whole(response: Any) -> Any:
    """Return the same response with its body read and unpacked. Raises UnfitBodyError if that cannot be done."""
    succeeded = 200 <= response.status_code < 300
    try:
        body = b"".join(
            limited(
                unpacked(response.iter_raw(), response.headers.get("content-encoding", "")),
                LARGEST_BODY if succeeded else LARGEST_COMPLAINT,
            )
        )
    except UnfitBodyError:
        if succeeded:
            raise
        body = b""  # for an error, the status is enough
    finally:
        # A body that was not read to its end would keep its connection busy.
        response.close()
    # These headers describe the packed body. With them, the library would unpack the body a second time.
    unwanted = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in unwanted]
    return type(response)(response.status_code, headers=headers, content=body, request=response.request)


def unpacked(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield a body in small unpacked pieces. Raises UnfitBodyError if it is not packed with gzip, or is damaged."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        yield from pieces
        return
    if encoding not in {"gzip", "x-gzip"}:
        raise UnfitBodyError(f"the body is packed with {encoding[:40]!r}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)  # adding 16 tells zlib to expect gzip's header
    try:
        for piece in pieces:
            packed = piece
            while packed:  # a few packed bytes can become gigabytes, so at most _PIECE bytes are unpacked at a time
                yield unpacker.decompress(packed, _PIECE)
                packed = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise UnfitBodyError(f"the body cannot be unpacked ({error})") from None


def limited(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield the pieces of a body. Raises UnfitBodyError if they have more than `most` bytes together."""
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > most:
            raise UnfitBodyError(f"the body has more than {most:,} bytes")
        yield piece


def _keep_time(client: object, clock: _Clock) -> None:
    """Make every connection of a client ask the clock before it waits.

    The library has no setting for this. So private names (with an underscore) are the only way. A test with a server
    that sends its headers byte by byte fails if a new version of the library changes these names.
    """
    mounts: dict[object, object] = getattr(client, "_mounts", {})
    for transport in (getattr(client, "_transport", None), *mounts.values()):
        pool = getattr(transport, "_pool", None)
        network = getattr(pool, "_network_backend", None)
        if network is not None:
            setattr(pool, "_network_backend", _Network(network, clock))  # noqa: B010


@dataclass(frozen=True, slots=True)
class _Stream:
    """A connection that never waits longer than the deadline allows."""

    inner: Any
    clock: _Clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, timeout=self.clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, timeout=self.clock.left(timeout))

    def close(self) -> None:
        self.inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        inner = self.inner.start_tls(ssl_context, server_hostname, timeout=self.clock.left(timeout))
        return _Stream(inner, self.clock)

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


@dataclass(frozen=True, slots=True)
class _Network:
    """Opens connections for the HTTP library. Each one respects the deadline."""

    inner: Any
    clock: _Clock

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Stream:
        return self._connected(self.inner.connect_tcp, host, port, timeout=timeout, **options)

    def connect_unix_socket(self, path: str, timeout: float | None = None, **options: Any) -> _Stream:
        return self._connected(self.inner.connect_unix_socket, path, timeout=timeout, **options)

    def sleep(self, seconds: float) -> None:
        self.inner.sleep(seconds)

    def _connected(self, connect: Callable[..., Any], *address: Any, timeout: float | None, **options: Any) -> _Stream:
        return _Stream(connect(*address, timeout=self.clock.left(timeout), **options), self.clock)
