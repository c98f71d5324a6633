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
    from jinja2 import Environment
    from markupsafe import Markup

FOLDER = Path(__file__).parent


def render_html(plan: Plan) -> str:
    """What would be done. A big plan is cut to what a browser bears, and says so."""
    return _rendered(plan_page(plan))


def render_result_html(result: RunResult) -> str:
    """What was done, and what failed first."""
    return _rendered(result_page(result))


def served_html(run: Plan | RunResult) -> str:
    """The same as a page of a server, in a folder below the page of the fleet."""
    page = result_page(run) if isinstance(run, RunResult) else plan_page(run)
    return _rendered(page, home="..")


def report_policy() -> str:
    """The Content-Security-Policy of these pages."""
    return fixed_parts(FOLDER, "page").policy


def _rendered(page: Page, home: str = "") -> str:
    fixed = fixed_parts(FOLDER, "page")
    text = fixed.environment.get_template("page.html").render(
        page=page, home=home, policy=fixed.policy, style=fixed.style, script=fixed.script
    )
    return text if text.endswith("\n") else text + "\n"


class FixedParts(Struct, frozen=True):
    """What is the same in every page of a sort: its style and script, and the policy (see Content
    Security Policy Level 3) that lets a browser run and style with nothing else."""

    environment: Environment
    style: Markup
    script: Markup
    policy: str


@cache
def fixed_parts(folder: Path, name: str, *more: str) -> FixedParts:
    """``name``.css, .js and .html of ``folder``, whose templates may import those of the report,
    and whose style follows the report's. ``more``: what else its policy allows."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    script = (folder / f"{name}.js").read_text(encoding="utf-8")
    sheets = dict.fromkeys((FOLDER / "page.css", folder / f"{name}.css"))
    style = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    environment = Environment(
        loader=FileSystemLoader((folder, FOLDER)),
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
            *more,
        )
    )
    ours = (Markup(style), Markup(script))  # noqa: S704  (files of ours)
    return FixedParts(environment, *ours, policy)


def _hash(text: str) -> str:
    """A Content-Security-Policy source for an inline element with exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
