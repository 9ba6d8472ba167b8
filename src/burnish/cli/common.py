"""What all verbs share: options, and how errors end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from burnish import __version__
from burnish.errors import BurnishError, Paused, system_refusals

STORE = click.option(
    "--store", type=click.Path(path_type=Path), help="Where finished stages lie [default: $BURNISH_STORE or .burnish]."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, for programs.")
SET = click.option("--set", "changes", multiple=True, metavar="A.B=C", help="Set a field of the config; C is YAML.")
OUT = click.option("--out", type=click.Path(path_type=Path), help="Where results go [default: runs/NAME].")


def settled(function: Callable[..., None]) -> Callable[..., None]:
    """Turn the errors that burnish raises on purpose into one line on stderr and exit code 2."""

    @wraps(function)
    def settling(*args: Any, **kwargs: Any) -> None:
        try:
            with system_refusals():
                function(*args, **kwargs)
        except BurnishError as error:
            from burnish.report.text import lines, terminal  # noqa: PLC0415

            first, *more = map(_shortened, str(error).splitlines())
            click.echo(f"error: {terminal(first)}", err=True)
            for line in more:
                click.echo(f"  {lines(line)}", err=True)
            sys.exit(2)
        except Paused as paused:
            waits(paused)
        except KeyboardInterrupt:
            click.echo("stopped; what was finished is kept, the same command goes on", err=True)
            sys.exit(130)

    return settling


_LONGEST = 1500


def _shortened(line: str) -> str:
    """Leave the middle of a very long line out: a file or a column may have a name of 5,000 characters."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="burnish")
def main() -> None:
    """Better language models from bad supervision: iterative label refinement."""


def waits(paused: Paused) -> None:
    """Say what a run waits for and which commands go on; exit code 3."""
    from burnish.cli.going_on import going_on  # noqa: PLC0415

    click.echo(f"waiting: {paused.message}", err=True)
    again = shlex.join(["burnish", *going_on(sys.argv[1:], paused.message)])
    for line in [*paused.command.splitlines(), again]:
        click.echo(f"  {line}", err=True)
    sys.exit(3)


def print_json(value: object) -> None:
    """Print one JSON object on stdout."""
    from burnish.store.files import pretty  # noqa: PLC0415 (each verb imports what it needs: --help stays fast)

    sys.stdout.buffer.write(pretty(value))
