"""`reconcile import`: what another tool has becomes a repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.api.errors import BadInput, ClusterError, ReconcileError, UsageError
from reconciler.api.options import RunOptions
from reconciler.cli.command_group import LimitedCommand
from reconciler.cli.console import styled
from reconciler.cli.error_messages import describe_problem
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import CommandSettings, merged, option, run_options

if TYPE_CHECKING:
    from reconciler.api.files import SourceFile
    from reconciler.api.objects import Object
    from reconciler.cluster.client import Member
    from reconciler.join.exported import Export, ImportRequest

SOURCE, TARGET = "Where from", "Where to"

EPILOG = """\b
Examples:
  reconcile import --context kubefed-host --to fleet
  kubectl get federateddeployments,kubefedclusters -A -o yaml > export.yaml
  reconcile import export.yaml --to fleet
  reconcile import --context kubefed-host --to fleet --seat aws-eu --seat gcp-eu --seat onprem
  reconcile import --from clusterprofiles --context hub --to fleet
  reconcile import --from karmada --context karmada-apiserver --to fleet
\b
Then look at `reconcile --plan --repo fleet`, and stop KubeFed's, or Karmada's, controller
manager before the first apply: docs/kubefed.md and docs/karmada.md tell the way.
"""


@click.command("import", cls=LimitedCommand, writes=True, epilog=EPILOG)
@click.argument("exports", nargs=-1, type=click.Path(exists=True, path_type=Path))
@option(
    "--from",
    "source",
    type=click.Choice(["kubefed", "karmada", "clusterprofiles"]),
    default="kubefed",
    show_default=True,
    heading=SOURCE,
    help="What is there: a KubeFed host, a Karmada API server, or ClusterProfiles.",
)
@option("--context", "host", metavar="CONTEXT", heading=SOURCE, help="The live host.")
@option(
    "--namespace",
    metavar="NAME",
    heading=SOURCE,
    help="Of a live host, only the ClusterProfiles in this namespace.",
)
@run_options("kubeconfig", heading=SOURCE)
@option(
    "--to",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    heading=TARGET,
    help="The directory that becomes the repository.",
)
@option(
    "--name",
    default="federation",
    show_default=True,
    heading=TARGET,
    help="What the federation is called.",
)
@option(
    "--native-clusters",
    is_flag=True,
    heading=TARGET,
    help="Write Clusters, reached by the context of their name, instead of KubeFed's or Karmada's.",
)
@option(
    "--seat",
    "seats",
    multiple=True,
    metavar="NAME",
    heading=TARGET,
    help="A cluster that will carry the reconciler; three of them, or more. The clusters become "
    "Clusters, as each seat gets a credential of its own when they join.",
)
@option(
    "--with-secrets",
    is_flag=True,
    heading=TARGET,
    help="Write Secrets too: encrypt them before they are committed.",
)
@option("--overwrite", is_flag=True, heading=TARGET, help="Replace files that are there already.")
@option("--dry-run", is_flag=True, heading=TARGET, help="Only name the files.")
@run_options("terminal")
@click.pass_context
def import_(
    context: click.Context,
    /,
    *,
    source: str,
    namespace: str | None,
    exports: tuple[Path, ...],
    host: str | None,
    target: Path,
    name: str,
    native_clusters: bool,
    seats: tuple[str, ...],
    with_secrets: bool,
    overwrite: bool,
    dry_run: bool,
    **given: Any,
) -> int:
    """Make a repository of what a KubeFed host or a Karmada API server has, or of ClusterProfiles.

    Reads a live host, or EXPORTS of it (YAML files, or directories of them), writes a repository
    and checks it. In a live host each token of a KubeFedCluster is bound to its API server, by an
    annotation of its Secret; else it is only read.
    """
    settings = merged(context, **given)
    if bool(exports) == bool(host):
        raise click.UsageError("Either --context, or files that were exported.")
    from reconciler.join.exported import ImportRequest

    _check_options(source, namespace, native=native_clusters, secrets=with_secrets)
    member = _host(settings, host) if host else None
    request = ImportRequest(name, with_secrets, native_clusters, seats)
    objects, export = _READ[source](member, exports, request, namespace or "")
    if not export.counts:
        what, hint = _MISSING[source]
        raise ReconcileError(f"there is {what} in it", hint=hint)
    console = settings.console
    for path in export.files:
        console.out(path)
    for text in export.converted:
        console.note(f"{styled('Converted:', fg='cyan', bold=True)} {text}")
    for text in export.left_out:
        console.note(f"{styled('Left out:', fg='yellow', bold=True)} {text}")
    if dry_run:
        console.note("")
        console.note("Nothing was written.")
        return Exit.OK
    _write(target, export, overwrite=overwrite)
    console.note("")
    if member and source == "kubefed" and not (native_clusters or seats):
        _bind(settings, member, objects)
    return _validated(settings, target, export, seats)


def _check_options(source: str, namespace: str | None, *, native: bool, secrets: bool) -> None:
    given = {"--native-clusters": native, "--with-secrets": secrets}
    if source == "clusterprofiles" and any(given.values()):
        named = next(flag for flag, value in given.items() if value)
        raise click.UsageError(f"{named} is for --from kubefed and karmada.")
    if namespace and source != "clusterprofiles":
        raise click.UsageError("--namespace is for --from clusterprofiles.")


def _kubefed(
    host: Member | None, exports: Sequence[Path], request: ImportRequest, _: str
) -> tuple[list[Object], Export]:
    from reconciler.join.kubefed_import import export_of, read_host

    objects = read_host(host) if host else _of_files(exports)
    return objects, export_of(objects, request)


def _karmada(
    host: Member | None, exports: Sequence[Path], request: ImportRequest, _: str
) -> tuple[list[Object], Export]:
    from reconciler.join.karmada_import import export_of_karmada, read_karmada

    objects = read_karmada(host) if host else _of_files(exports)
    return objects, export_of_karmada(objects, request)


def _profiles(
    host: Member | None, exports: Sequence[Path], request: ImportRequest, namespace: str
) -> tuple[list[Object], Export]:
    from reconciler.join.cluster_profile_import import export_of_profiles
    from reconciler.run.inventory import list_profiles

    objects = list_profiles(host, namespace) if host else _of_files(exports)
    return objects, export_of_profiles(objects, request)


_READ = {"kubefed": _kubefed, "karmada": _karmada, "clusterprofiles": _profiles}
_MISSING = {
    "kubefed": ("nothing of KubeFed", "is it the host cluster?"),
    "karmada": (
        "nothing of Karmada",
        "is it Karmada's own API server, and not the cluster that it runs in?",
    ),
    "clusterprofiles": ("no ClusterProfile", "is it the host cluster?"),
}
"""What an import that found nothing says."""


def _host(settings: CommandSettings, host: str) -> Member:
    from reconciler.cluster.connect import Connector

    connector = Connector.from_file(
        settings.options.kubeconfig, "", host_context=host, seconds_left=settings.options.time_left
    )
    return connector.host()


def _bind(settings: CommandSettings, host: Member, objects: Sequence[Object]) -> None:
    """Tell each token's Secret which server it is for, while nobody but KubeFed says so."""
    from reconciler.cluster.connect import bind_token
    from reconciler.federation.members import access_of

    for obj in objects:
        if obj["kind"] != "KubeFedCluster":
            continue
        name = obj["metadata"]["name"]
        try:
            server = bind_token(host, name, access_of(obj))
        except ClusterError as error:
            settings.console.note(
                f"{styled('Warning:', fg='yellow', bold=True)} {name}: its token is not bound "
                f"to its API server yet; the first run does so: {error}"
            )
            continue
        if server:
            settings.console.note(f"{name}: its token is from now on sent to {server} only")


def _of_files(exports: Sequence[Path]) -> list[Object]:
    from reconciler.join.exported import read_exports

    return read_exports(file for path in exports for file in _files_in(path))


def _files_in(path: Path) -> list[SourceFile]:
    from reconciler.api.files import SourceFile
    from reconciler.manifests.load import MANIFEST_SUFFIXES

    if path.is_file():
        return [SourceFile(path.name, path.read_bytes())]
    found = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in MANIFEST_SUFFIXES)
    return [SourceFile(p.relative_to(path).as_posix(), p.read_bytes()) for p in found]


def _write(target: Path, export: Export, *, overwrite: bool) -> None:
    different = [
        path
        for path, text in export.files.items()
        if (target / path).is_file() and (target / path).read_text(encoding="utf-8") != text
    ]
    if different and not overwrite:
        shown = ", ".join(different[:3]) + (", ..." if len(different) > 3 else "")
        raise UsageError(
            f"{target} has other files of the same names: {shown}",
            hint="name an empty directory with --to, or replace them with --overwrite",
        )
    for path, text in export.files.items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _validated(
    settings: CommandSettings, target: Path, export: Export, seats: Sequence[str]
) -> int:
    from reconciler.run import repository as repositories

    console = settings.console
    try:
        repository = repositories.validate_repository(RunOptions(repo=str(target)))
    except BadInput as error:
        for problem in error.problems:
            for line in describe_problem(problem):
                console.note(line)
        console.note("")
        console.note(f"Written to {target}, but {error}: mend them there.")
        return Exit.FAILED
    for warning in repository.warnings:
        console.note(f"{styled('Warning:', fg='yellow', bold=True)} {warning}")
    counts = ", ".join(f"{number} {kind}" for kind, number in export.counts.items())
    verdict = styled("Valid", fg="green", bold=True)
    console.note(f"{verdict}: {counts}.")
    if seats:
        console.note(f"Next: reconcile join NAME --repo {target}, for each cluster")
    console.note(f"Next: reconcile --plan --repo {target}")
    return Exit.OK
