"""Addresses of servers: what is refused, and that no password in one is shown."""

from __future__ import annotations

from typing import Any

import pytest

from burnish.config.addresses import checked_address
from burnish.config.reading import refine_config
from burnish.errors import ConfigError


@pytest.mark.parametrize(
    "address",
    [
        "http://user:s3cret@example.com/v1",
        "HTTP://user:s3cret@example.com/v1",
        "user:s3cret@example.com",
        "http://user:s3c/ret@127.0.0.1/v1",
        "http://user:s3c/re@t@127.0.0.1/v1",
        "http://user:s3cret%40example.com/v1",
        "http://user%3As3cret%40example.com/v1",
    ],
)
@pytest.mark.parametrize(("field", "kind"), [("annotator", "judge"), ("differs", "embedding_server")])
def test_a_password_in_an_address_is_refused_and_not_shown(address: str, field: str, kind: str) -> None:
    given: dict[str, Any] = {field: {"kind": kind, "base_url": address, "model": "m"}}
    with pytest.raises(ConfigError, match=rf"{field}\.base_url: '.*(example|127)") as raised:
        refine_config({"data": {"source": "d.jsonl"}, "model": "builtin:strong", "method": {"kind": "ilr"}, **given})
    for secret in ("s3c", "user", "re@", "ret"):
        assert secret not in str(raised.value).split(" found: ")[0]


@pytest.mark.parametrize(
    "address", ["http://", "http:///v1", "http://host:port/v1", "http://h:99999/v1", "http://[::1/v1"]
)
def test_an_address_that_cannot_be_read_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is no address of a server"):
        checked_address(address)


@pytest.mark.parametrize(
    "address", ["http://[::1]:8000/v1", "https://api.example.com/v1/", "http://localhost/a%40b/v1"]
)
def test_an_address_that_can_be_read(address: str) -> None:
    assert checked_address(address) == address.rstrip("/")
