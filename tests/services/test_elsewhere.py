"""Which addresses are this machine, and what is said of the others."""

from __future__ import annotations

import socket

import pytest

from burnish.services.elsewhere import host_elsewhere, is_here, sent_words


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:8000/v1",
        "http://LOCALHOST/v1",
        "http://localhost./v1",
        "http://judge.localhost:8000/v1",
        "http://127.0.0.1:8000/v1",
        "http://127.8.9.10/v1",
        "http://[::1]:8000/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://0.0.0.0:8000/v1",
        "http://[::]:8000/v1",
        f"http://{socket.gethostname()}:8000/v1",
        f"http://{socket.gethostname().partition('.')[0].upper()}/v1",
    ],
)
def test_this_machine_has_many_names(address: str) -> None:
    assert host_elsewhere(address) is None


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://api.openai.com/v1", "api.openai.com"),
        ("https://API.example.com:8443/v1?key=secret", "api.example.com:8443"),
        ("http://192.0.2.7:8000/v1", "192.0.2.7:8000"),  # an address of documentation, which no machine has
        ("http://[2001:db8::1]:80/v1", "[2001:db8::1]:80"),
        ("http://localhost.example.com/v1", "localhost.example.com"),
        ("http://notlocalhost/v1", "notlocalhost"),
        ("http://127.0.0.1.example.com/v1", "127.0.0.1.example.com"),
        ("http://[broken/v1", "an address that cannot be read"),
        ("http://host:port/v1", "an address that cannot be read"),
    ],
)
def test_other_machines_are_named_without_what_follows_the_host(address: str, host: str) -> None:
    assert host_elsewhere(address) == host


def test_an_address_of_an_own_interface_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Probe(socket.socket):
        """Stands for a machine whose only address is 192.0.2.7."""

        def connect(self, address: object) -> None:
            pass

        def getsockname(self) -> tuple[str, int]:
            return ("192.0.2.7", 4)

    monkeypatch.setattr(socket, "socket", Probe)
    assert is_here("192.0.2.7")
    assert not is_here("192.0.2.8")


def test_what_is_sent_is_said_with_host_field_and_references() -> None:
    assert sent_words("http://127.0.0.1/v1", "annotator", "all") is None
    assert sent_words("https://a.example/v1", "annotator", "at most 3 rows") == (
        "sent to a.example, which is not on this machine (annotator): at most 3 rows. References are not sent."
    )
    line = sent_words("https://a.example/v1", "judge", "at most 3 rows", references=True)
    assert line is not None
    assert line.endswith("at most 3 rows. References are sent, too.")
