"""The file of access providers: which program gives the credential of a ClusterProfile's cluster.

KEP-4322 and KEP-5339. A profile says where its cluster is, and names providers; what is run is what
this file of ours says, and how much a profile may add to it is decided here as well.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from reconciler.api.errors import BadInput, ClusterUnauthorized, Position, Problem, UsageError
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.objects import RedactedRepr, map_of
from reconciler.cluster.endpoint import Endpoint
from reconciler.cluster.kubeconfig import is_https
from reconciler.federation.model import NamedAccess, ProfileAccess

_SCHEMA = "access-providers.json"
_TEXTS = ("server", "tls-server-name", "certificate-authority-data", "proxy-url")
MAX_ADDED = 64
"""Arguments, or variables, that a profile may add."""

_LOADERS = ("LD_", "DYLD_", "PYTHON", "PERL", "RUBY", "NODE_", "JAVA_", "JDK_", "GCONV_", "GIT_")
_CODE = frozenset(
    (
        *("PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "KUBERNETES_EXEC_INFO", "KUBECONFIG"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "TMPDIR", "OPENSSL_CONF"),
    )
)
"""Variables that say which code runs, or whom it trusts: none that a profile may set."""


class Provider(RedactedRepr, frozen=True):
    """One provider of the file. ``environment`` is what the plugin gets beside our own."""

    name: str
    api_version: str
    command: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    cluster_info: bool = False
    install_hint: str = ""
    more_arguments: Literal["Append", "Ignore"] = "Ignore"
    more_variables: Literal["AppendIfNotExists", "Replace", "Ignore"] = "Ignore"


class AccessProviders(RedactedRepr, frozen=True):
    """The providers of a file, in its order."""

    path: str
    providers: tuple[Provider, ...]

    def choose(self, name: str, access: ProfileAccess) -> tuple[Provider, NamedAccess]:
        """The first provider of the file that the profile names. Raises ClusterUnauthorized."""
        named = {one.name: one for one in access.providers}
        for provider in self.providers:
            if provider.name in named:
                return provider, named[provider.name]
        has = ", ".join(one.name for one in self.providers)
        if not named:
            raise ClusterUnauthorized(
                name,
                "its ClusterProfile names no access provider (status.accessProviders is empty)",
                hint="the cluster manager fills it in; or give the Cluster an access in Git",
            )
        raise ClusterUnauthorized(
            name,
            f"its ClusterProfile names the access providers {', '.join(sorted(named))}, and "
            f"{self.path} has {has}",
            hint="add one of them to the file of --access-providers",
        )


def load_access_providers(path: Path) -> AccessProviders:
    """Raises UsageError where the file cannot be read, BadInput with all that is wrong in it."""
    import yaml

    from reconciler.manifests.document import Document
    from reconciler.manifests.own_schemas import problems_by_schema
    from reconciler.manifests.yaml_nodes import Builder, compose

    try:
        source = SourceFile(str(path), path.read_bytes())
        text = source.content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"--access-providers {path}: it cannot be read: {error.strerror}",
            hint="docs/cluster-profiles.md has an example",
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"--access-providers {path}: it is no text") from None
    # JSON is YAML as well, and of YAML the lines are known.
    builder = Builder(str(path))
    try:
        values = [builder.build(node) for node in compose(text)]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        # What the parser says quotes the file, which may hold a credential.
        what = Problem(Position(str(path), line, column), "", "not JSON", "a file of providers")
        raise BadInput([what]) from None
    body = values[0] if len(values) == 1 and isinstance(values[0], dict) else None
    if body is None:
        start = Position(str(path), 1, 1)
        raise BadInput([Problem(start, "", "not a map with providers", '{"providers": [...]}')])
    document = Document(str(path), 0, 1, Manifest(body), source)
    problems = [*builder.problems, *problems_by_schema(document, _SCHEMA)]
    if not problems:
        problems = _repeated(document)
    if problems:
        raise BadInput(sorted(problems))
    return AccessProviders(
        str(path), tuple(_provider(one, path.parent) for one in body["providers"])
    )


def _repeated(document: Any) -> list[Problem]:
    found, names = [], set()
    for index, one in enumerate(document.body["providers"]):
        if one["name"] in names:
            at = document.position("providers", index, "name")
            found.append(
                Problem(
                    at,
                    f"$.providers[{index}].name",
                    f"there are two providers named {one['name']!r}",
                    "each provider once",
                )
            )
        names.add(one["name"])
    return found


def _provider(body: Mapping[str, Any], folder: Path) -> Provider:
    plugin = body["execConfig"]
    command = plugin["command"]
    if "/" in command:
        # As in a kubeconfig: seen from the file, wherever the program is started.
        command = str((folder / command).absolute())
    return Provider(
        name=body["name"],
        api_version=plugin["apiVersion"],
        command=command,
        arguments=tuple(plugin.get("args") or ()),
        environment={one["name"]: one["value"] for one in plugin.get("env") or ()},
        cluster_info=plugin.get("provideClusterInfo", False),
        install_hint=plugin.get("installHint", ""),
        more_arguments=body.get("profileSourcedCLIArgsPolicy", "Ignore"),
        more_variables=body.get("profileSourcedEnvVarsPolicy", "Ignore"),
    )


def server_of(
    name: str, access: NamedAccess, *, insecure: bool, proxy: bool, plain: bool
) -> Endpoint:
    """The server that a profile names, without any credential.

    Whoever may write profiles must not have this process read its own files, or send a credential
    where anybody can read it. ``insecure``: also a server whose certificate is not verified,
    ``proxy``: also a proxy, ``plain``: also ``http://``. Raises ClusterUnauthorized, which names
    each fault.
    """
    given, where = access.cluster, f"access provider {access.name!r} of its ClusterProfile"
    faults = [f"{key} is no text" for key in _TEXTS if not isinstance(given.get(key, ""), str)]
    if given.get("certificate-authority"):
        faults.append("certificate-authority names a file (give certificate-authority-data)")
    skips = given.get("insecure-skip-tls-verify", False)
    if skips and not insecure:
        faults.append(
            "insecure-skip-tls-verify would send the credential to whoever answers at the address "
            "(--allow-access insecure-tls would take it)"
        )
    if given.get("proxy-url") and not proxy:
        faults.append("proxy-url names a proxy (--allow-access proxy would take it)")
    server = given.get("server")
    if not is_https(server, plain=plain):
        might = is_https(server, plain=True)
        faults.append(
            "its server is no https:// address of a server alone"
            + (" (--allow-access plain-http would take it)" if might else "")
        )
    ca = ""
    try:
        data = given.get("certificate-authority-data", "")
        ca = base64.b64decode(data, validate=True).decode() if isinstance(data, str) else ""
    except (binascii.Error, UnicodeDecodeError):
        faults.append("certificate-authority-data is no PEM in base64")
    if faults:
        raise ClusterUnauthorized(
            name,
            f"{where}: {'; '.join(faults)}; nothing was sent",
            hint="the cluster manager writes it; or give the Cluster an access in Git",
        )
    return Endpoint(
        server=str(server).rstrip("/"),
        ca_pem=ca,
        server_name=str(given.get("tls-server-name", "")),
        proxy_url=str(given.get("proxy-url", "")),
        verify=not skips,
    )


def with_additions(
    name: str, provider: Provider, extensions: Mapping[str, Any], keys: tuple[str, str]
) -> Provider:
    """The provider with what the profile adds, as far as the file allows it.

    ``keys`` are the names of the extensions that hold arguments and variables. Raises
    ClusterUnauthorized for what is none, and for variables that say which code runs.
    """
    of_arguments, of_variables = keys
    arguments = variables = None
    if provider.more_arguments == "Append":
        arguments = extensions.get(of_arguments)
    if provider.more_variables != "Ignore":
        variables = extensions.get(of_variables)
    faults = []
    if arguments is not None and not _are_texts(arguments):
        faults.append(f"{of_arguments} is no list of at most {MAX_ADDED} texts")
    if variables is not None and not (
        isinstance(variables, dict) and _are_texts([*variables, *variables.values()], 2)
    ):
        faults.append(f"{of_variables} is no map of at most {MAX_ADDED} texts")
    elif bad := sorted(filter(_says_what_runs, map_of(variables))):
        faults.append(f"{of_variables} sets {', '.join(bad)}, which may decide what code runs")
    if faults:
        raise ClusterUnauthorized(
            name,
            f"access provider {provider.name!r} of its ClusterProfile: {'; '.join(faults)}; the "
            "credential plugin was not run",
        )
    own, more = provider.environment, map_of(variables)
    merged = {**own, **more} if provider.more_variables == "Replace" else {**more, **own}
    return Provider(
        provider.name,
        provider.api_version,
        provider.command,
        (*provider.arguments, *(arguments or ())),
        merged,
        provider.cluster_info,
        provider.install_hint,
    )


def _are_texts(values: Sequence[Any], each: int = 1) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= MAX_ADDED * each
        and all(isinstance(one, str) and "\0" not in one for one in values)
    )


def _says_what_runs(variable: str) -> bool:
    upper = variable.upper()
    return not variable or "=" in variable or upper in _CODE or upper.startswith(_LOADERS)
