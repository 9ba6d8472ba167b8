"""The commands that serve the pages of a study: study serve, serve-simulated and demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from burnish.cli.common import settled
from burnish.cli.study import KIND, study, study_folder
from burnish.config.study import StudyKind

if TYPE_CHECKING:
    from burnish.people.web.serving import ServedPages

_PATH = click.Path(path_type=Path)


@study.command("serve")
@click.argument("folder", type=_PATH)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port of the pages.")
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    help="Port of the administrator's pages, for this machine alone.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address at which the pages are served.")
@click.option("--behind-proxy", is_flag=True, help="A proxy with TLS on this machine stands before the pages.")
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Address of a proxy on another machine. May be repeated.",
)
@click.option("--root-path", default="", metavar="PATH", help="Part of the path that the proxy takes off.")
@click.option("--plain-http", is_flag=True, help="Serve other machines without encryption. Anybody can read along.")
@settled
def serve_command(
    folder: Path,
    port: int,
    admin_port: int,
    host: str,
    behind_proxy: bool,
    proxies: tuple[str, ...],
    root_path: str,
    plain_http: bool,
) -> None:
    """Serve the pages of a study until Ctrl-C.

    The links for people and for the administrator are printed.
    """
    from burnish.people.web import check_installed  # noqa: PLC0415

    check_installed()
    from burnish.people.web.serving import Where, serve  # noqa: PLC0415

    known = (*(("127.0.0.1", "::1") if behind_proxy else ()), *proxies)
    where = Where(
        host=host, port=port, admin_port=admin_port, proxies=known, plain_http=plain_http, root_path=root_path
    )
    serve(study_folder(folder), where, _say_where)


@study.command("serve-simulated")
@click.argument("folder", type=_PATH)
@click.option("--speed", type=float, required=True, help="How many times as fast as time the server's clock runs.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port of the pages.")
@click.option(
    "--admin-port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="Administrator's port."
)
@settled
def serve_simulated_command(folder: Path, speed: float, port: int, admin_port: int) -> None:
    """Serve the pages of a study to simulated people, with a clock that runs faster.

    The study says from then on that its people are simulated. It cannot be served to real people any more.
    """
    from burnish.people.web import check_installed  # noqa: PLC0415

    check_installed()
    from burnish.people.web.serving import Where, serve  # noqa: PLC0415

    def ready(pages: ServedPages) -> None:
        click.echo(f"simulated: the clock of this server runs {speed:g} times as fast as time")
        _say_where(pages)

    serve(study_folder(folder), Where(port=port, admin_port=admin_port), ready, speed=speed)


def _say_where(pages: ServedPages) -> None:
    click.echo(f"people: {pages.start}")
    click.echo(f"administrator: {pages.admin}")
    click.echo("stop with Ctrl-C; nothing that was answered is lost", err=True)


@study.command("demo")
@click.option("--kind", type=KIND, default="comparisons", show_default=True, help="What people do.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port of the pages.")
@click.option(
    "--admin-port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="Administrator's port."
)
@settled
def demo_command(kind: str, port: int, admin_port: int) -> None:
    """Serve a small study on generated problems, for a look. Nothing is kept."""
    from burnish.people.web import check_installed  # noqa: PLC0415

    check_installed()
    from burnish.people.web.demo import serve_demo  # noqa: PLC0415

    serve_demo(StudyKind(kind), port, admin_port, _say_where)
