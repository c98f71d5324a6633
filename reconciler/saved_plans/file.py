"""Saved plans in files: written so that no half of one is ever there, read with suspicion."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from reconciler.api.errors import ReconcileError, StalePlan
from reconciler.api.options import RunOptions
from reconciler.git.location import without_password
from reconciler.manifests.load import is_manifest, is_report, load
from reconciler.manifests.own_schemas import json_path, load_schema
from reconciler.plan.model import Plan
from reconciler.report.json_report import report_as_json
from reconciler.run.pipeline import Prepared
from reconciler.saved_plans.document import Origin, SavedPlan, Seal, as_saved, is_rule
from reconciler.saved_plans.staleness import differences_of

MAX_BYTES = 256 * 1024 * 1024
_SALT_BYTES = 16
_SHOWN = 5
ANEW = "make the plan again with --plan --out"


def save_plan(file: Path, prepared: Prepared, options: RunOptions) -> SavedPlan:
    """Write a plan where ``read_plan`` finds it; nobody but the file's owner may read it.

    Raises ReconcileError when it cannot be written, or could not be known again without its
    Secrets' values.
    """
    if prepared.plan.rollout and prepared.plan.rollout.complete:
        raise ReconcileError(
            "the plan was not saved: it is of the end of the rollout, which no run does at once",
            hint="save what the next run would do: --plan --out, without --rollout complete",
        )
    if prepared.plan.rollout and not prepared.repository.commit():
        raise ReconcileError(
            "the plan was not saved: it is of changes that are in no commit, and spec.rollout "
            "brings commits to clusters",
            hint="commit them, and plan again",
        )
    origin = _origin(prepared, options)
    if why := _unknowable(prepared.plan, origin):
        raise ReconcileError(
            f"the plan was not saved: {why}",
            hint="commit the files, or read the last commit with --ref HEAD",
        )
    seal = Seal(secrets.token_bytes(_SALT_BYTES), options.clock())
    saved = as_saved(prepared.plan, origin, options, seal)
    text = report_as_json(dict(saved.document)).encode()
    if len(text) > MAX_BYTES:
        raise ReconcileError(
            f"the plan was not saved: it has {len(text)} bytes, {MAX_BYTES} at most",
            hint="plan fewer clusters at once, with --cluster",
            subject="the plan is too large to be saved",
        )
    try:
        _write(file, text)
    except OSError as error:
        raise ReconcileError(f"the plan was not saved in {file}: {error.strerror}") from error
    return saved


def check_fresh(saved: SavedPlan, prepared: Prepared, options: RunOptions) -> None:
    """Raises StalePlan with everything in which the plan that was just made is another one."""
    origin = _origin(prepared, options)
    fresh = as_saved(prepared.plan, origin, options, saved.seal)
    # As a file would give it back: lists for tuples, and nothing that is no JSON.
    now = SavedPlan(orjson.loads(report_as_json(dict(fresh.document))))
    differences = list(differences_of(saved, now))
    if why := _unknowable(prepared.plan, origin):
        differences.append(why)
    if differences:
        raise StalePlan(differences, hint=f"see what has changed: {ANEW}")


def read_plan(file: Path) -> SavedPlan:
    """Raises ReconcileError with the file and the JSON path when it is no plan of this version."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReconcileError(f"{file} cannot be read: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise ReconcileError(f"{file} is no saved plan: it has more than {MAX_BYTES} bytes")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ReconcileError(
            f"{file}:{error.lineno}:{error.colno} is no JSON: {error.msg}", hint=ANEW
        ) from None
    if isinstance(document, dict) and "touched" not in document and "clusters" in document:
        raise ReconcileError(
            f"{file} is a report, which shows a plan but cannot be applied",
            hint="save one with --plan --out",
        )
    try:
        fault = next(iter(_validator().iter_errors(document)), None)
    except ValueError as error:
        # It gives up on what is nested deeper than any plan.
        raise ReconcileError(f"{file} is no saved plan: {error}", hint=ANEW) from None
    if fault:
        where = json_path(tuple(fault.instance_path))
        raise ReconcileError(f"{file}: {where}: {_fault_text(fault)}", hint=ANEW)
    return SavedPlan(document)


def _fault_text(fault: Any) -> str:
    message = str(fault.message)
    return message if len(message) <= 200 else f"{message[:200]}…"


@cache
def _validator() -> Any:
    import jsonschema_rs

    plan = load_schema("plan.json")
    registry = jsonschema_rs.Registry([(plan["$id"], plan)])
    return jsonschema_rs.validator_for(
        load_schema("saved-plan.json"), registry=registry, validate_formats=True
    )


def _unknowable(plan: Plan, origin: Origin) -> str:
    """Why nothing but Secrets' values would tell whether the plan is the same; empty: it is."""
    if origin.pinned_by_commit:
        return ""
    hidden = sorted(
        {
            str(change.key)
            for cluster in plan.clusters
            for change in cluster.changes
            if change.request is not None and change.is_sensitive
        }
    )
    if not hidden:
        return ""
    names = ", ".join(hidden[:_SHOWN]) + (" and more" if hidden[_SHOWN:] else "")
    files = ", ".join(origin.uncommitted[:_SHOWN])
    return (
        f"only its values tell whether {names} is still the same, and those are in no plan; no "
        + (f"commit contains {files}" if files else "Git commit contains the files")
    )


def _origin(prepared: Prepared, options: RunOptions) -> Origin:
    from reconciler.git.uncommitted import uncommitted_files

    source, checkout = prepared.repository.source, prepared.repository.checkout
    uncommitted: tuple[str, ...] = ()
    if checkout.commit:
        found = uncommitted_files(source.where, checkout, is_manifest)
        uncommitted = tuple(file.path for file in found if not is_report(file))
    rules = []
    if uncommitted or not checkout.commit:
        rules = [document for document in load(source.files).documents if is_rule(document)]
    return Origin(
        without_password(options.repo), options.ref, checkout.commit, uncommitted, tuple(rules)
    )


def _write(file: Path, text: bytes) -> None:
    number, made = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(number, "wb") as opened:
            opened.write(text)
        Path(made).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(made).unlink()
        raise
