"""Templates into pages. Everything in a page is escaped, because people and models may have written anything."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from burnish.people.study.texts import filled

_TYPES = {"style.css": "text/css", "task.js": "text/javascript"}


@cache
def environment() -> Environment:
    """Return the templates of all pages of a study."""
    made = Environment(
        loader=PackageLoader("burnish.people.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["fill"] = _fill
    return made


def _fill(text: str, **values: object) -> str:
    return filled(text, values)


def page(name: str, status: int = 200, /, **values: object) -> Response:
    """Return a page."""
    text = environment().get_template(f"{name}.html.j2").render(**values)
    # A lone surrogate has no form in UTF-8. It must not make the page fail.
    return HTMLResponse(text.encode("utf-8", errors="replace"), status)


@cache
def _static(name: str) -> bytes:
    return resources.files("burnish.people.web").joinpath("static").joinpath(name).read_bytes()


def static_file(name: str) -> Response | None:
    """Return the style or the script of the pages, or None for any other name."""
    if name not in _TYPES:
        return None
    # The only thing that may be kept by a browser: it says nothing about anybody.
    headers = {"cache-control": "max-age=3600"}
    return Response(_static(name), media_type=_TYPES[name], headers=headers)
