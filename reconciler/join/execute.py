"""Steps, done one after the other. A failure leaves the rest undone; doing it again is safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from reconciler.api.errors import ClusterError, ClusterUnauthorized, ReconcileError
from reconciler.api.objects import Object, key_of
from reconciler.cluster.client import Member
from reconciler.join.credentials import Token, await_token, request_token
from reconciler.join.join import Credentials, answer_to
from reconciler.join.leave import Emptying, contents_of, empty
from reconciler.join.member_objects import NAMESPACE
from reconciler.join.steps import Effect, Step, Verb, explained

CHECK_TIMEOUT_SECONDS = 15.0
CHECK_POLL_SECONDS = 0.25


@dataclass
class StepTools:
    """What steps are done with. ``manifest`` is the text for the repository, in ``folder``.

    ``hosts``, ``credentials`` and ``tokens`` are by seat, or by an empty name where there is one
    host. ``force``: an apply takes fields over. ``tolerant``: what a cluster refuses is left and
    told. ``timeout`` is how many seconds to wait until what was deleted is gone.
    """

    member: Member | None = None
    hosts: Mapping[str, Member] = field(default_factory=dict)
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    folder: Path | None = None
    manifest: str = ""
    emptying: Emptying | None = None
    force: bool = False
    tolerant: bool = False
    timeout: float = 60.0
    tokens: dict[str, Token] = field(default_factory=dict)
    emptied: bool = False


def execute_steps(
    steps: Iterable[Step], tools: StepTools, done: Callable[[Step], None]
) -> dict[str, ClusterError]:
    """Do every step that writes, and tell ``done`` of each. Raises ReconcileError at the first
    that fails; one that is for a seat ends that seat's part, which is given with its error."""
    failed: dict[str, ClusterError] = {}
    for step in steps:
        if step.seat in failed:
            continue
        if step.writes:
            if failed and not step.seat and failed.keys() == tools.hosts.keys():
                raise next(iter(failed.values()))
            try:
                step = _VERBS[step.verb](step, tools) or step
            except ClusterError as error:
                if tools.tolerant:
                    step = replace(step, effect=Effect.KEEP, details=(str(error),))
                elif step.seat:
                    failed[step.seat] = error
                    continue
                else:
                    raise
        done(step)
    return failed


def _apply(step: Step, tools: StepTools) -> None:
    cluster, resource = _cluster(step, tools), step.resource
    if resource is None:
        raise ReconcileError(f"a step without a resource: {step.description}")
    try:
        cluster.apply(resource, key_of(step.object), step.object, force=tools.force)
    except ClusterError as error:
        raise explained(error, step.object) from error


def _token(step: Step, tools: StepTools) -> None:
    credentials = _credentials(step, tools)
    try:
        tools.tokens[step.seat] = request_token(_cluster(step, tools), credentials.identity)
    except ClusterError as error:
        raise explained(error, step.object) from error


def _await_token(step: Step, tools: StepTools) -> None:
    _apply(step, tools)
    tools.tokens[step.seat] = await_token(_cluster(step, tools), step.object)


def _keep(step: Step, tools: StepTools) -> None:
    credentials, token = _credentials(step, tools), tools.tokens.get(step.seat)
    if token is None or step.resource is None:
        raise ReconcileError("there is no token to keep; join again")
    body = credentials.secret(token)
    try:
        # The Secret is ours (the survey has seen to it), whoever wrote its last token.
        _cluster(step, tools).apply(step.resource, key_of(body), body, force=True)
    except ClusterError as error:
        raise explained(error, step.object) from error


def _check(step: Step, tools: StepTools) -> Step | None:
    """The new token at the address in the Secret; authorizers follow their store after a while."""
    credentials, token = _credentials(step, tools), tools.tokens.get(step.seat)
    if token is None:
        return None
    give_up = time.monotonic() + CHECK_TIMEOUT_SECONDS
    while (answer := answer_to(credentials, token.value)) == "refused":
        if time.monotonic() > give_up:
            raise ClusterUnauthorized(
                credentials.identity.cluster,
                "the new credential is refused",
                hint="look at the member's authorization; join again does no harm",
            )
        time.sleep(CHECK_POLL_SECONDS)
    if answer == "no answer":
        note = f"{credentials.endpoint.server} does not answer from here"
        return replace(step, effect=Effect.KEEP, details=(note,))
    return None


def _write_file(step: Step, tools: StepTools) -> None:
    file = _file(step, tools)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(tools.manifest, encoding="utf-8")


def _remove_file(step: Step, tools: StepTools) -> None:
    _file(step, tools).unlink(missing_ok=True)


def _delete(step: Step, tools: StepTools) -> None:
    if step.resource is None:
        raise ReconcileError(f"a step without a resource: {step.description}")
    metadata = step.object["metadata"]

    def otherwise(live: Object) -> str:
        """The step chose the object by its labels; it may go as long as it has them."""
        chosen = (metadata.get("labels") or {}).items()
        kept = chosen <= (live["metadata"].get("labels") or {}).items()
        return "" if kept else "its labels were changed meanwhile"

    _cluster(step, tools).delete_as_decided(
        step.resource,
        key_of(step.object),
        otherwise,
        uid=str(metadata["uid"]),
        resource_version=str(metadata["resourceVersion"]),
    )


def _delete_namespace(step: Step, tools: StepTools) -> Step | None:
    """Only where nothing else is in it; waits a while until it is gone."""
    cluster = _cluster(step, tools)
    inside = contents_of(cluster, step.object, cluster.discover())
    if inside:
        return replace(step, effect=Effect.KEEP, details=(f"it holds {inside}",))
    _delete(step, tools)
    key = key_of(step.object)
    give_up = time.monotonic() + tools.timeout
    while (live := cluster.get(NAMESPACE, key)) is not None:
        if live["metadata"]["uid"] != step.object["metadata"]["uid"]:
            break
        if time.monotonic() > give_up:
            return replace(step, details=("it is still being deleted",))
        time.sleep(CHECK_POLL_SECONDS)
    return None


def _empty(step: Step, tools: StepTools) -> Step | None:
    """Deletes and releases at once: both are of one plan, and the later step has nothing to do."""
    if tools.emptying is None or tools.emptied:
        return None
    tools.emptied = True
    pending = empty(tools.emptying, tools.timeout)
    return replace(step, details=(*step.details, *pending))


def _nothing(step: Step, tools: StepTools) -> None:
    del step, tools


_VERBS: dict[Verb, Callable[[Step, StepTools], Step | None]] = {
    Verb.APPLY: _apply,
    Verb.TOKEN: _token,
    Verb.AWAIT_TOKEN: _await_token,
    Verb.CREDENTIALS: _keep,
    Verb.CHECK: _check,
    Verb.DELETE: _delete,
    Verb.DELETE_NAMESPACE: _delete_namespace,
    Verb.EMPTY: _empty,
    Verb.WRITE_FILE: _write_file,
    Verb.REMOVE_FILE: _remove_file,
    Verb.NOTHING: _nothing,
}


def _cluster(step: Step, tools: StepTools) -> Member:
    cluster = tools.member if step.where == "member" else tools.hosts.get(step.seat)
    if cluster is None:
        raise ReconcileError(f"there is no {step.where} to do this in: {step.description}")
    return cluster


def _credentials(step: Step, tools: StepTools) -> Credentials:
    if step.seat not in tools.credentials:
        raise ReconcileError("there is no credential to make")
    return tools.credentials[step.seat]


def _file(step: Step, tools: StepTools) -> Path:
    if tools.folder is None:
        raise ReconcileError(f"{step.path} is not on this disk")
    return tools.folder / step.path
