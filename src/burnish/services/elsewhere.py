"""Says which servers are on another machine, and what they are sent. Nothing is sent from here."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
"""Names that mean this machine on every machine."""


def host_elsewhere(address: str) -> str | None:
    """Return the host of a server's address, with its port, if it is not on this machine. Return None if it is.

    No name is looked up. So a name that only a name server knows counts as another machine.
    """
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:  # a damaged address, which the client of the server refuses later
        return "an address that cannot be read"
    if is_here(host):
        return None
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def is_here(host: str) -> bool:
    """Say whether a host is this machine: a loopback address, one of its own addresses, or one of its own names."""
    try:
        number = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        own = socket.gethostname().lower()
        return host in _NAMES | {own, own.partition(".")[0]} or host.endswith(".localhost")
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    # A client that connects to 0.0.0.0 or :: reaches its own machine.
    return number.is_loopback or number.is_unspecified or _is_own(number)


def _is_own(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Say whether a network interface of this machine has the address."""
    family = socket.AF_INET if number.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Connecting a datagram socket sends nothing. It only chooses the address from which data would be sent. If
            # the address is one of our own, it is chosen itself.
            probe.connect((str(number), 9))
            return ipaddress.ip_address(str(probe.getsockname()[0]).partition("%")[0]) == number
    except OSError:
        return False


def sent_words(address: str, field: str, what: str, references: bool = False) -> str | None:
    """Return a line that says which texts are sent to a server on another machine.

    Return None if the server is on this machine. `field` is the setting that names the server, and `what` names the
    texts that it gets. `references` says whether right answers are among them.
    """
    host = host_elsewhere(address)
    if host is None:
        return None
    right = "References are sent, too." if references else "References are not sent."
    return f"sent to {host}, which is not on this machine ({field}): {what}. {right}"
