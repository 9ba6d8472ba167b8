"""Which store a command uses, and how it is opened."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from burnish.errors import ConfigError
from burnish.store.bucket import SCHEMES, open_bucket
from burnish.store.object_store import ObjectStore
from burnish.store.stages import Store

# A URL that went through `Path` has one slash less, and one of a scheme alone has none.
_URL = re.compile(rf"({'|'.join(SCHEMES)}):(?:/+(.*))?")
_ANY_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?:/|$)")


def default_store() -> Path:
    """Return the path or URL in `$BURNISH_STORE`, or `.burnish` in the working directory if that variable is not
    set."""
    return Path(os.environ.get("BURNISH_STORE") or ".burnish")


def is_url(place: Path | str) -> bool:
    """Say whether a place is a URL: of a bucket, or of something else that is no file here."""
    return _URL.fullmatch(str(place)) is not None or _other(place) is not None


def open_store(place: Path | str) -> Store:
    """Open a store: a folder, or a bucket by its URL (`s3://BUCKET/PREFIX`, `gs://`, `az://`).

    The cache of a bucket is a folder in `$BURNISH_CACHE`, which is `~/.cache/burnish` if it is not set. Raises
    ConfigError if a URL is wrong, and BackendError if obstore is not installed.
    """
    if (found := _URL.fullmatch(str(place))) is None:
        if other := _other(place):
            # Only the scheme is shown. The rest of a URL may hold a password.
            raise ConfigError(
                f"store: {other[1]}:// is no bucket that burnish knows; give a folder, s3://, gs:// or az://"
            )
        return Store(Path(place))
    bucket = open_bucket(f"{found[1]}://{found[2] or ''}")
    cache = Path(os.environ.get("BURNISH_CACHE") or Path.home() / ".cache" / "burnish")
    return ObjectStore(bucket, cache / hashlib.sha256(bucket.url.encode()).hexdigest()[:16])


def _other(place: Path | str) -> re.Match[str] | None:
    """Return the scheme of a URL that is not there as a file or folder, or None."""
    # A folder may have such a name, but then it is there.
    return None if Path(place).exists() else _ANY_URL.match(str(place))
