"""Objects in a bucket of S3, Google Cloud Storage or Azure, through the package obstore."""

from __future__ import annotations

import random
import re
import secrets
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from burnish.errors import BackendError, ConfigError, StageError
from burnish.store.files import explained_write_errors

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ObjectStore as Objects
    from obstore.store import RetryConfig

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
"""The schemes of the URLs that name a bucket."""
RETRIES: RetryConfig = {
    "max_retries": 10,
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=15), "base": 2},
    "retry_timeout": timedelta(seconds=120),
}
"""How often a request is repeated that the server refuses for the moment (503 SlowDown) or that it does not answer."""
MOST_TRIES = 100
"""How often a change of an object is tried that other processes change, too."""
_STATUS = re.compile(r"\b[45]\d\d [A-Z][A-Za-z ]+")
"""An HTTP status in an error of obstore. Nothing else of such an error is shown, because it may hold a signed URL."""


class Bucket:
    """The objects below a prefix of a bucket. Their keys are paths with slashes.

    All methods raise StageError if the bucket does not exist, refuses access or does not answer.
    """

    def __init__(self, objects: Objects, url: str) -> None:
        self._objects, self.url = objects, url.rstrip("/")
        self._checked = False

    def read(self, key: str) -> bytes | None:
        """Return the bytes of an object, or None if it does not exist."""
        with self._explained():
            try:
                return bytes(self._objects.get(key).bytes())
            except FileNotFoundError:
                return None

    def write(self, key: str, data: bytes) -> None:
        """Write an object. An object with this key is replaced."""
        with self._explained():
            self._objects.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none with this key. Return whether it was written. Of several hosts that do this
        at the same time, exactly one succeeds."""
        from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415

        with self._explained():
            try:
                self._objects.put(key, data, mode="create")
            except AlreadyExistsError:
                # A request that is repeated, because its answer was lost, finds its own object.
                return self.read(key) == data
            return True

    def alter(self, key: str, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace an object by what `change` makes of it. `change` gets None if there is no object. It is called again
        if another process was faster, so no change of any process is lost. If it returns None, nothing is written.

        Raises StageError if the service has no conditional writes.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError  # noqa: PLC0415

        self._check_conditional_writes()
        for attempt in range(MOST_TRIES):
            # Several processes that were refused at the same moment should not come back at the same moment.
            time.sleep(random.random() * 0.05 * min(attempt, 10))  # noqa: S311 no secret
            with self._explained():
                data, version = self._versioned(key)
                if (new := change(data)) is None or new == data:
                    return
                with suppress(AlreadyExistsError, PreconditionError):
                    self._objects.put(key, new, mode="create" if version is None else version)
                    return
        raise StageError(f"{self.url}: {key} was changed by other processes {MOST_TRIES} times in a row")

    def _versioned(self, key: str) -> tuple[bytes | None, UpdateVersion | None]:
        """Return the bytes of an object, and what the service calls this state of it. Both are None if it is absent."""
        try:
            found = self._objects.get(key)
        except FileNotFoundError:
            return None, None
        return bytes(found.bytes()), _state(found.meta)

    def _check_conditional_writes(self) -> None:
        """Check that the service refuses to replace an object whose state is another one than is said. Some services
        with the interface of S3 do not know this condition and write all the same, and limits would not hold there."""
        from obstore.exceptions import NotSupportedError, PreconditionError  # noqa: PLC0415

        if self._checked:
            return
        key = f"probe/{secrets.token_hex(8)}"
        with self._explained():
            try:
                old = self._objects.put(key, b"old")
                self._objects.put(key, b"new")
                self._objects.put(key, b"wrong", mode=_state(old))
            except PreconditionError:
                self._checked = True
            except (NotImplementedError, NotSupportedError):
                pass
            finally:
                self._objects.delete(key)
        if not self._checked:
            raise StageError(
                f"{self.url}: this service has no conditional writes (If-Match), so a limit of calls cannot hold for "
                "all machines that use it; use another service, or a folder as the store"
            )

    def upload(self, path: Path, key: str) -> None:
        """Write a file as an object."""
        with self._explained():
            self._objects.put(key, path)

    def download(self, key: str, path: Path, part: Path) -> bool:
        """Write an object into a file. Return False if there is no such object. The file is complete or absent.

        `part` is the file until it is complete. It lies on the same disk.
        """
        with self._explained(), explained_write_errors(path):
            for folder in (path.parent, part.parent):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                found = self._objects.get(key)
            except FileNotFoundError:
                return False
            try:
                with part.open("wb") as file:
                    for piece in found.stream():
                        file.write(piece)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        return True

    def listed(self, prefix: str) -> dict[str, tuple[int, datetime]]:
        """Return the sizes in bytes of all objects below a prefix, and when they were written by the server's clock."""
        with self._explained():
            pages: Any = self._objects.list(prefix)  # pyright: ignore[reportUnknownMemberType] its overloads
            metas = [meta for page in pages for meta in page]
        return {meta["path"]: (meta["size"], meta["last_modified"]) for meta in metas}

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects. Those that do not exist are left out."""
        with self._explained():
            for key in keys:
                try:
                    self._objects.delete(key)
                except FileNotFoundError:
                    continue

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Turn errors of obstore into a StageError that says what to do."""
        from obstore import exceptions  # noqa: PLC0415

        try:
            yield
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise StageError(
                f"{self.url}: access is refused; check the credentials in the environment, and that they may list, "
                "read, write and delete objects there"
            ) from None
        except FileNotFoundError as error:
            if not isinstance(error, exceptions.BaseError):
                raise
            raise StageError(f"{self.url}: there is no such bucket; create it, or name another --store") from None
        except exceptions.BaseError as error:
            found = _STATUS.search(str(error))
            why = found.group().strip() if found else "no answer"
            raise StageError(
                f"{self.url}: the object store cannot be used ({why}); check the network, the endpoint and the "
                "credentials, and run the same command again: finished work is kept"
            ) from None


def _state(of: ObjectMeta | PutResult) -> UpdateVersion:
    """Return what the service calls the present state of an object."""
    named: UpdateVersion = {}
    if (e_tag := of["e_tag"]) is not None:
        named["e_tag"] = e_tag
    if (version := of["version"]) is not None:
        named["version"] = version
    return named


def open_bucket(url: str) -> Bucket:
    """Open a bucket. Credentials come from the environment, as the cloud's own tools name them.

    Raises ConfigError if the URL is wrong or holds a secret, and BackendError if obstore is not installed.
    """
    parts = urlsplit(url)
    # Messages and run records show the URL, so nothing secret may be in it.
    if parts.password is not None or parts.query or ("@" in parts.netloc and not parts.scheme.startswith("abfs")):
        raise ConfigError(
            f"store: a URL like {parts.scheme}://BUCKET/PREFIX, without keys or a query, is expected; give credentials "
            "in the environment (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    if not parts.netloc:
        raise ConfigError(f"store: {url!r} names no bucket; write {parts.scheme}://BUCKET/PREFIX")
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError as error:
        raise BackendError("a store in a bucket needs obstore; install it: pip install 'burnish[object]'") from error
    try:
        objects = from_url(url, retry_config=RETRIES)
    except (BaseError, ValueError):
        raise ConfigError(
            f"store: {url!r} cannot be opened; check the URL and the settings of the cloud in the environment"
        ) from None
    return Bucket(objects, url)
