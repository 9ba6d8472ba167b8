"""What all commands share: common options, and how errors are shown."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click

from burnish import __version__
from burnish.errors import BurnishError, Paused, system_refusals

# Several commands take these options. Each is defined once here, so that its help text is the same everywhere.
STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Folder that keeps finished stages, so that they are reused, or a bucket: s3://BUCKET/PREFIX, gs://, az:// "
    "[default: $BURNISH_STORE or .burnish].",
)
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, for other programs to read."
)
SET = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="A.B=C",
    help="Set the field A.B of the config to C. C is read as YAML. May be repeated.",
)
COLUMNS = click.option(
    "--columns",
    help="Which columns hold the parts of a row: prompt=NAME,completion=NAME or messages=NAME. The parts context, "
    "system and history can be named, too.",
)
MAX_CALLS = click.option("--max-calls", type=int, help="Stop before the servers have answered more calls than this.")
MAX_COST = click.option("--max-cost", type=float, help="Stop before the servers have cost more money than this.")
OUT = click.option("--out", type=click.Path(path_type=Path), help="Folder for the results [default: runs/NAME].")


def settled(function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that errors that burnish raises on purpose end without a traceback.

    A BurnishError is printed on stderr and the exit code is 2. When a run waits (Paused), the command to continue is
    printed and the exit code is 3. Ctrl-C ends with exit code 130.
    """

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            with system_refusals():
                function(*args, **kwargs)
        except BurnishError as error:
            # Messages quote what users and models wrote: escape codes in it must not reach the terminal.
            from burnish.report.text import lines, terminal  # noqa: PLC0415

            # Some errors have several lines, for example one per wrong field.
            first, *more = map(_shortened, str(error).splitlines())
            _say(f"error: {terminal(first)}", *(f"  {lines(line)}" for line in more))
            sys.exit(2)
        # A pause is no error: exit code 3 lets scripts tell it from 2.
        except Paused as paused:
            waits(paused)
        except KeyboardInterrupt:
            _say("stopped; finished work is kept, run the same command again to continue")
            # 130 is what shells report for a process that Ctrl-C ended: 128 plus the number of SIGINT.
            sys.exit(130)

    return wrapper


def _say(*messages: str) -> None:
    """Print lines on stderr."""
    # A log on a full disk, or a pipe whose reader is gone, must not change the exit code.
    with suppress(OSError):
        for message in messages:
            click.echo(message, err=True)


_LONGEST = 1500
"""Longest line of an error message, in characters."""


def _shortened(line: str) -> str:
    """Cut the middle out of a very long line. The name of a file or column may have 5,000 characters."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="burnish")
def main() -> None:
    """Train better language models on unreliable labels, with iterative label refinement."""


def waits(paused: Paused) -> None:
    """Print what a run waits for and the commands that continue it. Exits with code 3."""
    from burnish.cli.going_on import going_on  # noqa: PLC0415

    again = shlex.join(["burnish", *going_on(sys.argv[1:], paused.message)])
    _say(f"waiting: {paused.message}", *(f"  {line}" for line in [*paused.command.splitlines(), again]))
    sys.exit(3)


def print_json(value: object) -> None:
    """Print one JSON object on stdout."""
    from burnish.store.files import pretty  # noqa: PLC0415 (each verb imports what it needs: --help stays fast)

    # A shell may have closed stdout (`>&-`). Python then has None in its place, and nobody reads the result.
    if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] its type does not know this
        # `pretty` returns bytes in UTF-8, so they go to the buffer: the terminal's own encoding may be another one.
        sys.stdout.buffer.write(pretty(value))
