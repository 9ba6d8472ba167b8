"""Which URLs name a store in a bucket, and that a URL with a secret is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.errors import ConfigError
from burnish.store.bucket import open_bucket
from burnish.store.opening import open_store
from burnish.store.stages import Store


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://key:hidden@bucket/x", "without keys or a query"),
        ("s3://hidden@bucket/x", "without keys or a query"),
        ("az://container/x?sig=hidden", "without keys or a query"),
        ("s3:///x", "names no bucket"),
    ],
)
def test_a_url_with_a_secret_or_without_a_bucket_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        open_bucket(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://name:hidden@host/x", "https://host/x?sig=hidden", "S3x://hidden/x"])
def test_a_url_of_another_kind_is_no_folder(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (url, Path(url)):
        with pytest.raises(ConfigError, match=r"is no bucket that burnish knows; give a folder, s3://") as caught:
            open_store(place)
        assert "hidden" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    Path("a:/b").mkdir(parents=True)
    assert type(open_store("a:/b")) is Store


@pytest.mark.parametrize("url", ["s3://", "gs:", "https://"])
def test_a_scheme_alone_is_no_folder(url: str) -> None:
    for place in (url, Path(url)):
        with pytest.raises(ConfigError, match=r"names no bucket|is no bucket that burnish knows"):
            open_store(place)


@pytest.mark.parametrize("place", ["s3://bucket/a/b", Path("s3://bucket/a/b")])
def test_a_url_is_opened_as_a_bucket_also_after_path_took_a_slash(
    place: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path))
    store = open_store(place)
    assert store.address == "s3://bucket/a/b"
    assert store.root.parent == tmp_path
    assert type(open_store(tmp_path)) is Store
