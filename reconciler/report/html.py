"""Plans and results as one page that needs nothing else: no network, no other file. Pure.

Whatever comes from a repository or a cluster is escaped, and could not act if it were not: the
page's own policy lets a browser run and style with nothing but what is hashed in it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.model import Plan, RunResult
from reconciler.report.page import Page, middle_cut, plan_page, result_page
from reconciler.report.terminal import shown

if TYPE_CHECKING:
    from jinja2 import Template


def render_html(plan: Plan) -> str:
    """What would be done. A big plan is cut to what a browser bears, and says so."""
    return _rendered(plan_page(plan))


def render_result_html(result: RunResult) -> str:
    """What was done, and what failed first."""
    return _rendered(result_page(result))


def _rendered(page: Page) -> str:
    from markupsafe import Markup

    fixed = _fixed()
    text = fixed.template.render(
        page=page,
        policy=fixed.policy,
        style=Markup(fixed.style),  # noqa: S704  (a file of ours)
        script=Markup(fixed.script),  # noqa: S704  (a file of ours)
    )
    return text if text.endswith("\n") else text + "\n"


class _Fixed(Struct, frozen=True):
    """What is the same in every page."""

    template: Template
    style: str
    script: str
    policy: str


@cache
def _fixed() -> _Fixed:
    from jinja2 import Environment, StrictUndefined

    folder = Path(__file__).parent
    style, script, template = (
        (folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html")
    )
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Our own style and script are Markup, which is no plain str.
        finalize=lambda value: shown(value, colour=False) if type(value) is str else value,
    )
    environment.filters["cut"] = middle_cut
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return _Fixed(environment.from_string(template), style, script, policy)


def _hash(text: str) -> str:
    """A Content-Security-Policy source for an inline element with exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
