"""Each option is declared once, and all else is made of that: flags, variables, saved plans."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from reconciler.api.options import Internal, Option, RunOptions, declarations, kept_options
from reconciler.cli.command_group import COMMANDS
from reconciler.cli.reconcile import check_environment, reconcile
from reconciler.cli.settings import DURATION, merged
from reconciler.manifests.own_schemas import load_schema
from reconciler.saved_plans.document import json_name, options_document

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "reconciler"

# Flags that mean something else in a subcommand than for a run, and why.
OTHER_MEANINGS = {
    ("import_.py", "--seat"): "names each of the new Federation's",
    ("member_and_host.py", "--host-context"): "may be each of several seats",
    ("rollout.py", "--timeout"): "ends the watching, not one look",
    ("status.py", "--timeout"): "ends the watching, not one look",
    ("survivability.py", "--base"): "compares outages, not plans",
    ("unjoin.py", "--yes"): "a yes to runs is not one to taking a cluster out",
    ("unjoin.py", "-y"): "a yes to runs is not one to taking a cluster out",
    **{
        (f"{name}.py", flag): "what this command prints"
        for name in (
            *("clusters", "join", "rollout", "seats", "status", "survivability", "unjoin"),
            "validate",
        )
        for flag in ("-o", "--output")
    },
}


def parameters_of(command: click.Command) -> dict[str, click.Option]:
    return {str(one.name): one for one in command.params if isinstance(one, click.Option)}


def subcommands() -> list[click.Command]:
    context = click.Context(reconcile)
    found = [reconcile.get_command(context, name) for name in COMMANDS]
    return [command for command in found if command]


def test_no_other_module_declares_a_flag_of_a_run() -> None:
    flags = {flag for one in declarations().values() for flag in one.option.flags.split()}
    declared = {
        (path.name, argument.value)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("option", "click.option")
        for argument in node.args
        if isinstance(argument, ast.Constant) and argument.value in flags
    }
    assert declared == OTHER_MEANINGS.keys()


def test_no_two_options_share_a_flag_or_a_variable() -> None:
    flags = [flag for one in declarations().values() for flag in one.option.flags.split()]
    variables = [one.variable for one in declarations().values() if one.variable]
    assert len(set(flags)) == len(flags) > 40
    assert len(set(variables)) == len(variables) > 40


def test_every_field_is_on_the_command_line_or_says_why_not() -> None:
    parameters = parameters_of(reconcile)
    for name, hint in RunOptions.__annotations__.items():
        _, how = get_args(hint)
        if isinstance(how, Internal):
            assert how.why, name
            assert name not in parameters
        else:
            assert isinstance(how, Option), name
            parameter = parameters.pop(declarations()[name].parameter)
            assert parameter.opts == how.flags.split()
    assert set(parameters) == {"version"}, "an option of `reconcile` that no run has"


def test_what_the_command_line_says_is_what_the_field_has() -> None:
    """Each kind of value once, as click gives it."""
    words = (
        "--plan --cluster a --cluster b --deadline 2m --max-deletions 0 --require-signature ssh "
        "--allow-access proxy --out plan.json --repo fleet --take-over -v"
    )
    context = reconcile.make_context("reconcile", words.split())
    given = {name: value for name, value in context.params.items() if name != "plan"}
    assert merged(context, **given).options == RunOptions(
        clusters=("a", "b"),
        deadline=120.0,
        max_deletions=0,
        require_signature="ssh",
        allow_access=("proxy",),
        out=Path("plan.json"),
        repo="fleet",
        take_over=True,
        verbose=True,
        clock=RunOptions().clock,
        time_left=RunOptions().time_left,
    )


def test_what_is_not_given_is_as_declared() -> None:
    context = reconcile.make_context("reconcile", [])
    given = {name: value for name, value in context.params.items() if name != "plan"}
    assert merged(context, **given).options == RunOptions()


def test_what_is_not_given_to_a_subcommand_is_as_given_before_it() -> None:
    assert len(list(subcommands())) > 10
    for command in subcommands():
        shared = parameters_of(command).keys() & declarations().keys()
        assert {"verbose", "no_color", "debug"} <= shared or command.name in (
            "completion",
            "credential",
        )
        for name in shared - {"output", "base", "yes", "every"}:
            parameter = parameters_of(command)[name]
            assert parameter.multiple or parameter.default is None, f"{command.name}: {name}"


def test_a_plain_default_that_the_help_names_is_the_one_of_the_field() -> None:
    """Those of one word, where the field does not leave it to the place or the command."""
    compared = {}
    for name, one in declarations().items():
        said = re.search(r"\[default: (\S+?)(,[^\]]*)?\]", one.option.help)
        usual: Any = getattr(RunOptions(), name)
        if said and usual not in (None, ""):
            is_time = isinstance(usual, float)
            compared[name] = (DURATION.convert(said[1], None, None) if is_time else said[1], usual)
    assert all(str(said) == str(usual) for said, usual in compared.values()), compared
    assert compared.keys() >= {"repo", "git_timeout", "lease_duration", "grace", "markdown_limit"}


def test_each_variable_is_known_and_what_looks_like_one_is_not() -> None:
    variables = {one.variable: "x" for one in declarations().values() if one.variable}
    check_environment(variables)
    (unset,) = (one for one in declarations().values() if not one.variable)
    assert unset.name == "take_over"
    for name in ("RECONCILE_TAKE_OVER", "RECONCILE_PLAN_ONLY", "RECONCILE_TIME_LEFT"):
        with pytest.raises(click.UsageError, match=name):
            check_environment({**variables, name: "x"})


def test_click_reads_the_variables_that_are_declared() -> None:
    context = click.Context(reconcile, info_name="reconcile", auto_envvar_prefix="RECONCILE")
    assert len(declarations()) > 10
    for one in declarations().values():
        parameter = parameters_of(reconcile)[one.parameter]
        read = f"{context.auto_envvar_prefix}_{parameter.name}".upper()
        assert one.variable == (read if parameter.allow_from_autoenv else "")


def test_every_variable_in_the_documents_is_one() -> None:
    known = {one.variable for one in declarations().values()}
    named = {
        (path.name, name)
        for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("cronjob/**/*")]
        if path.is_file()
        for name in re.findall(r"RECONCILE_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert not {(file, name) for file, name in named if name not in known}


# -- saved plans -----------------------------------------------------------------------------------


def test_a_saved_plan_keeps_what_is_declared_as_kept_and_the_schema_says() -> None:
    schema = load_schema("saved-plan.json")["properties"]["options"]
    names = [json_name(one) for one in kept_options()]
    assert list(options_document(RunOptions())) == names
    assert set(names) == set(schema["properties"]) == set(schema["required"])
    assert [one.option.kept for one in kept_options()] == list(range(1, len(names) + 1))


def test_equal_options_are_kept_equally() -> None:
    one = RunOptions(path="shop//a/", clusters=("b", "a", "b"), max_deletions=0, sandbox=True)
    other = RunOptions(path="shop/a", clusters=("a", "b"), max_deletions=0, sandbox=True)
    assert options_document(one) == options_document(other)
    assert json.dumps(options_document(one)) == (
        '{"path": "shop/a", "clusters": ["a", "b"], "forceConflicts": false, "maxDeletions": 0, '
        '"takeOver": false, "sandbox": true}'
    )
    assert options_document(RunOptions(path="")) == options_document(RunOptions())
