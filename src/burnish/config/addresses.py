"""Checks the address of a server that a user writes."""

from __future__ import annotations

from urllib.parse import urlsplit


def checked_address(value: str) -> str:
    """Return a server's address without a slash at its end.

    Raises ValueError if the text is not an address, or if the address contains a name or password.
    """
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://, such as http://localhost:8000/v1")
    # A name or password would stand before an @ in the host part, as in https://name:password@host/v1. The password
    # itself may hold a slash, and the @ may be written as %40.
    rest = value.partition("://")[2]
    if "@" in rest or "%" in rest.partition("/")[0]:
        raise ValueError(
            "must hold no name or password, because reports show the address; use api_key_env (an @ in the path is "
            "written %40)"
        )
    try:
        parts = urlsplit(value)
        # Reading the port raises ValueError if it is no number up to 65535.
        readable = parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        readable = False
    if not readable:
        raise ValueError("is no address of a server; write it like http://localhost:8000/v1")
    # The address is part of the key of every cached answer. With and without the slash it is one server.
    return value.rstrip("/")
