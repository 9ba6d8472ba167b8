"""Objects in a bucket of S3, Google Cloud Storage or Azure, through the package obstore."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from burnish.errors import BackendError, ConfigError, StageError
from burnish.store.files import explained_write_errors

if TYPE_CHECKING:
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
_STATUS = re.compile(r"\b[45]\d\d [A-Z][A-Za-z ]+")
"""An HTTP status in an error of obstore. Nothing else of such an error is shown, because it may hold a signed URL."""


class Bucket:
    """The objects below a prefix of a bucket. Their keys are paths with slashes.

    All methods raise StageError if the bucket does not exist, refuses access or does not answer.
    """

    def __init__(self, objects: Objects, url: str) -> None:
        self._objects, self.url = objects, url.rstrip("/")

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
                with part.open("wb") as file:
                    for piece in self._objects.get(key).stream():
                        file.write(piece)
                part.replace(path)
            except FileNotFoundError:
                return False
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
