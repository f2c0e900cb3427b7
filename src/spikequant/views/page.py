"""The page of a report: template, policy and scripts put together."""

import base64
import functools
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup


def page(values: Mapping[str, Any]) -> str:
    """The page with these values: one file, whose policy admits its own style and scripts and nothing else.

    Scripts are Vega with its expression interpreter, and ours; where there is none to run them, everything is still there.
    """
    style, script = template_text("report.css"), template_text("report.js")
    return _environment().get_template("report.html.j2").render(
        values,
        style=Markup(style),
        style_hash=digest(style),
        scripts=[Markup(vega()), Markup(script)],
        script_hashes=[digest(vega()), digest(script)],
    )  # fmt: skip


def template_text(name: str) -> str:
    """A file of the templates."""
    return (resources.files("spikequant.views") / "templates" / name).read_text("utf-8")


def digest(text: str) -> str:
    """The hash by which a policy knows a text."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def inert_json(document: str) -> Markup:
    """JSON that cannot end the element that it stands in.

    >>> inert_json('{"name": "</script>"}')
    Markup('{"name": "\\\\u003c/script\\\\u003e"}')
    """
    for mark in "<>&":
        document = document.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(document)


@functools.cache
def vega() -> str:
    """Vega, Vega-Lite, the expression interpreter and their embedding, as one script without addresses of the network."""
    text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in text.lower() or "<!--" in text:
        raise RuntimeError("the bundle of Vega cannot stand in a page")
    return text


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("spikequant.views"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["inert_json"] = inert_json
    return made
