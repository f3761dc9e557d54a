"""Templates → pages. What comes from outside is escaped, and the page itself forbids whatever is not its own style and script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from harness.report.plots import style

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: object) -> str:
    """A whole page. `values` are escaped, except SVG of our own that comes through `svg`."""
    return environment().get_template(template).render(**_shell(), **values)


def policy() -> str:
    """What a page may do, as it says itself: for a server that says it, too."""
    return str(_shell()["policy"])


@cache
def environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("harness.report", "site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["svg"] = _svg
    made.tests["web"] = lambda url: str(url).startswith(("https://", "http://"))  # no javascript: behind a link
    return made


def _svg(picture: str) -> object:
    """Our own drawing: `plots.draw` escapes each word in it."""
    from markupsafe import Markup

    return Markup(picture)  # noqa: S704


@cache
def _shell() -> Mapping[str, Any]:
    from markupsafe import Markup

    css = f":root{{{style.variables(style.LIGHT)}}}{_DARK}{style.RULES}{_read('site.css')}"
    script = _read("site.js")
    policy = f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    return {"css": Markup(css), "script": Markup(script), "policy": policy}  # noqa: S704


_DARK = (
    f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{{style.variables(style.DARK)}}}}}"
    f":root[data-theme=dark]{{{style.variables(style.DARK)}}}"
)


def _read(name: str) -> str:
    return resources.files("harness.report.site").joinpath(name).read_text()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
