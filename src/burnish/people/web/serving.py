"""Serves a study: the workers' pages on one port, and the administrator's on another one, for this machine alone."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

import uvicorn
from starlette.types import ASGIApp

from burnish.config.study import Platform, StudySettings
from burnish.errors import ConfigError
from burnish.people.study.clock import FastClock, check_real, checked_speed, simulated_clock
from burnish.people.study.folder import StudyFolder
from burnish.people.study.model import NotStored
from burnish.people.study.reaching import SERVING, ServedAt
from burnish.people.study.schema import opened
from burnish.people.study.store import StudyStore
from burnish.people.web.admin import AdminPages
from burnish.people.web.visits import LINK_NAMES, done
from burnish.people.web.workers import WorkerPages
from burnish.store.json_rows import dump_line

_SWEEP_SECONDS = 5.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a study is served.

    `port` and `admin_port` may be 0: any port that is free. `proxies` are the addresses of proxies whose words about
    the address of a person are believed. `plain_http` allows to serve other machines without a proxy. `root_path` is
    the part of the path that a proxy takes off.
    """

    host: str = _LOOPBACK
    port: int = 8000
    admin_port: int = 8001
    proxies: tuple[str, ...] = ()
    plain_http: bool = False
    root_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPages:
    """A study that is served: the link for people, and the one for the administrator.

    `stop` ends the serving. It may be called from any thread.
    """

    start: str
    admin: str
    stop: Callable[[], None]


def serve(
    study: StudyFolder, where: Where, ready: Callable[[ServedPages], None], *, speed: float | None = None
) -> None:
    """Serve a study until SIGINT or SIGTERM. `ready` is called when the pages can be opened.

    `speed` is for simulated people alone: the clock of the server runs so many times as fast as time. The study says
    from then on that its people are simulated.

    Raises ConfigError for settings, texts or addresses that are wrong, StageError if the study is served already, and
    DataError if it would have real and simulated people.
    """
    _check_host(where)
    with study.locked():
        rules = study.rules()
        texts, checks = study.texts(rules), study.checks(rules.kind)
        db = opened(study.file)
        clock = _clock(db, speed)
        store = StudyStore(db, rules, clock or time.time)
        try:
            store.renew(checks).result()
            with _listening(where.host, where.port) as people, _listening(_LOOPBACK, where.admin_port) as own:
                pages = WorkerPages(store, texts, secure=bool(where.proxies), limits=clock or time.monotonic)
                port = own.getsockname()[1]
                hosts = frozenset({f"{_LOOPBACK}:{port}", f"localhost:{port}"})
                admin = AdminPages(study, store, hosts)
                servers = ((_server(pages.app(), where), people), (_server(admin.app(), Where()), own))
                served = ServedPages(
                    start=f"http://{where.host}:{people.getsockname()[1]}{where.root_path}/start?{_link(rules)}",
                    admin=f"http://{_LOOPBACK}:{port}/?token={admin.token}",
                    stop=lambda: _stop(servers),
                )
                with _announced(study, ServedAt(admin=f"http://{_LOOPBACK}:{port}", token=admin.token)):
                    asyncio.run(_run(servers, store, _SWEEP_SECONDS / (speed or 1), lambda: ready(served), served.stop))
        finally:
            store.close()


def _clock(db: sqlite3.Connection, speed: float | None) -> FastClock | None:
    """Return the clock of a simulation, or None for people. Closes the file if the study cannot be served so."""
    try:
        if speed is None:
            check_real(db)
            return None
        return simulated_clock(db, checked_speed(speed))
    except BaseException:
        db.close()
        raise


def _link(rules: StudySettings) -> str:
    """Return the part of the link in which a platform fills in its ids."""
    names = LINK_NAMES[rules.platform]
    if rules.platform is Platform.PROLIFIC:
        return "&".join(f"{name}={{{{%{name}%}}}}" for name in names)
    return "&".join(f"{name}=..." for name in names)


def _check_host(where: Where) -> None:
    """Raise ConfigError if other machines would be served without encryption."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if where.host == "localhost" else where.host)
    except ValueError:
        raise ConfigError(f"--host: {where.host!r} is no address; write one such as 127.0.0.1 or 0.0.0.0") from None
    if not address.is_loopback and not where.proxies and not where.plain_http:
        raise ConfigError(
            f"--host: {where.host} serves other machines without encryption, so that anybody on the way can read the "
            "answers; serve 127.0.0.1 behind a proxy with TLS (--behind-proxy), or give --plain-http"
        )
    for proxy in where.proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise ConfigError(
                f"--proxy: {proxy!r} is no address; write that of the proxy, such as 10.0.0.5 or 10.0.0.0/24"
            ) from None
    if where.root_path and (not where.root_path.startswith("/") or where.root_path.endswith("/")):
        raise ConfigError(f"--root-path: {where.root_path!r} is no path; write one such as /study")


@contextlib.contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        # The error's own words repeat the address.
        why = os.strerror(error.errno or 0)
        raise ConfigError(f"{host}:{port}: cannot be served ({why}); name another port or --host") from None
    with listener:
        yield listener


@contextlib.contextmanager
def _announced(study: StudyFolder, served: ServedAt) -> Generator[None]:
    """Write where the study is served, for `burnish study pause` and other verbs in other terminals."""
    path = study.path / SERVING
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(dump_line(served))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


class _QuietServer(uvicorn.Server):
    """A server that leaves signals alone. Two of them run in one process, and both must stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing."""
        yield


_Servers: TypeAlias = tuple[tuple[_QuietServer, socket.socket], ...]


def _server(app: ASGIApp, where: Where) -> _QuietServer:
    return _QuietServer(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_level="warning",
            # An access log would have the ids of the platforms, which are in the query of the first link.
            access_log=False,
            server_header=False,
            # With uvicorn's 5 s, a person who reads for a minute would find the connection closed.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
            proxy_headers=bool(where.proxies),
            forwarded_allow_ips=list(where.proxies),
            root_path=where.root_path,
        )
    )


def _stop(servers: _Servers) -> None:
    for server, _ in servers:
        server.should_exit = True


async def _run(
    servers: _Servers, store: StudyStore, every: float, ready: Callable[[], None], stop: Callable[[], None]
) -> None:
    """Run the servers until a signal comes. Each `every` seconds, end sittings whose time ran out."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Only the main thread gets signals. A test runs this in another one.
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            loop.add_signal_handler(number, stop)
    sweeping = asyncio.create_task(_sweep(store, every))
    running = [asyncio.create_task(server.serve(sockets=[listener])) for server, listener in servers]
    try:
        while not all(server.started for server, _ in servers):
            await asyncio.sleep(0.01)
        ready()
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop()
        await asyncio.gather(*running)
        sweeping.cancel()


async def _sweep(store: StudyStore, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        # A full disk now does not mean a full disk in five seconds.
        with contextlib.suppress(NotStored):
            await done(store.sweep())
