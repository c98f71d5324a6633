"""Kubeconfig files -> ``Endpoint``.

Credentials that lie in the file (tokens, certificates) are read right here; importing the
``kubernetes`` package takes longer than a whole run that changes nothing, so it is used where it
knows more than a file can say: exec plugins (EKS, GKE) and auth providers.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from reconciler.api.errors import ClusterUnauthorized
from reconciler.api.objects import RedactedRepr, map_of
from reconciler.cluster.endpoint import Endpoint, basic, bearer, bearer_file

_SECTIONS = (("clusters", "cluster"), ("users", "user"), ("contexts", "context"))
_FROM_A_SECRET: dict[str, dict[str, type]] = {
    "cluster": {
        "server": str,
        "certificate-authority-data": str,
        "tls-server-name": str,
        "proxy-url": str,
        "insecure-skip-tls-verify": bool,
        "disable-compression": bool,
        "extensions": list,
    },
    "user": {
        "token": str,
        "client-certificate-data": str,
        "client-key-data": str,
        "username": str,
        "password": str,
        "as": str,
        "as-groups": list,
        "as-uid": str,
        "as-user-extra": dict,
        "extensions": list,
    },
    "context": {"cluster": str, "user": str, "namespace": str, "extensions": list},
}
"""What a kubeconfig in a Secret may say, by kind of entry; and of which type it is."""
_NO_MAP = "(not a map)"
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Kubeconfig(RedactedRepr, frozen=True):
    """Merged kubeconfig content: ``contexts``/``clusters``/``users`` by name. ``problem`` says why
    there is none: the trouble of those members whose contexts it should hold."""

    contexts: dict[str, dict[str, Any]]
    clusters: dict[str, dict[str, Any]]
    users: dict[str, dict[str, Any]]
    current_context: str = ""
    origin: str = ""
    problem: str = ""

    def endpoint(self, context: str, cluster: str) -> Endpoint:
        """The API server that ``context`` names.

        Raises ClusterUnauthorized (in the name of member ``cluster``) when the context, its
        cluster or its user is missing or unusable: such a member is not down, we cannot get in.
        """
        if self.problem:
            raise ClusterUnauthorized(cluster, self.problem)
        entry = self._entry("context", self.contexts, context, cluster)
        server = self._entry("cluster", self.clusters, entry.get("cluster") or "", cluster)
        user = self._entry("user", self.users, entry["user"], cluster) if entry.get("user") else {}
        if fault := _impersonation_fault(user) or _credential_fault(user):
            raise ClusterUnauthorized(cluster, f"kubeconfig context {context!r}: {fault}")
        if user.get("exec") is not None:
            return _by_plugin(self, context, cluster)
        try:
            return Endpoint(
                server=(server.get("server") or "").rstrip("/"),
                headers=_headers(user),
                ca_pem=_pem(server, "certificate-authority"),
                client_certificate_pem=_pem(user, "client-certificate"),
                client_key_pem=_pem(user, "client-key"),
                server_name=server.get("tls-server-name") or "",
                proxy_url=server.get("proxy-url") or "",
                verify=not server.get("insecure-skip-tls-verify", False),
            )
        except UnicodeDecodeError:
            raise ClusterUnauthorized(
                cluster, f"kubeconfig context {context!r} cannot be used: a PEM in it is no text"
            ) from None
        except (OSError, binascii.Error) as error:
            raise ClusterUnauthorized(
                cluster, f"kubeconfig context {context!r} cannot be used: {error}"
            ) from error

    def _entry(
        self, what: str, entries: dict[str, dict[str, Any]], name: str, cluster: str
    ) -> dict[str, Any]:
        if name in entries:
            if faults := _type_faults(what, entries[name]):
                raise ClusterUnauthorized(
                    cluster, f"{self.origin}: the {what} {name!r}: {'; '.join(faults)}"
                )
            return entries[name]
        known = ", ".join(sorted(entries)) or "none"
        raise ClusterUnauthorized(
            cluster,
            f"{self.origin} has no {what} named {name!r}; it has: {known}",
            hint="check spec.access.context, or name another file with --kubeconfig",
        )


def _type_faults(what: str, entry: dict[str, Any]) -> list[str]:
    """What of an entry is not of its type, as far as anybody reads it here. No value is told."""
    if _NO_MAP in entry:
        return ["it is not a map"]
    types = {**_FROM_A_SECRET[what], **dict.fromkeys(_FILES, str), "auth-provider": dict}
    if what == "user":
        types["exec"] = dict
    found = [
        f"{key} is no {_WORDS[types[key]]}"
        for key, value in entry.items()
        if key in types and value is not None and not isinstance(value, types[key])
    ]
    needed = {"cluster": ("server",), "context": ("cluster",)}.get(what, ())
    return found + [f"it has no {key}" for key in needed if not entry.get(key)]


def load_kubeconfig(path: str | None) -> Kubeconfig:
    """Read ``path``, else the files of $KUBECONFIG (merged, the first to name a thing wins), else
    ~/.kube/config. A file that is not there counts as empty, as it does for kubectl.

    Raises ClusterUnauthorized when a file cannot be read, or is not a kubeconfig.
    """
    chosen = path or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    files = [Path(part).expanduser() for part in chosen.split(os.pathsep) if part]
    try:
        contents = [(file, file.read_bytes()) for file in files if file.is_file()]
    except OSError as error:
        raise ClusterUnauthorized("", f"{chosen} cannot be read: {error.strerror}") from None
    return _merge(contents, origin=chosen)


def parse_kubeconfig(
    content: bytes,
    *,
    origin: str,
    insecure: bool = False,
    proxy: bool = False,
    plain: bool = False,
) -> Kubeconfig:
    """A kubeconfig that came from a Secret: whoever may write the Secret must not make this
    process run programs, read its own files, or send the credential where anybody can read it.

    Only what ``_FROM_A_SECRET`` lists is taken, and only where one context is meant:
    ``current_context`` names it. ``insecure``: also a server whose certificate is not verified,
    ``proxy``: also a proxy, ``plain``: also ``http://``. Raises ClusterUnauthorized, which names
    each fault and quotes no value.
    """
    config = _merge([(Path("/"), content)], origin=origin)
    faults = list(_faults_of_secret(config, insecure=insecure, proxy=proxy, plain=plain))
    if not config.current_context and len(config.contexts) != 1:
        faults.append(f"{len(config.contexts)} contexts and no current-context")
    if faults:
        raise ClusterUnauthorized(
            "",
            f"{origin}: not taken from a Secret: {'; '.join(faults)}",
            hint="give server, certificate-authority-data, and a token or client-*-data; what "
            "needs programs or files belongs into the reconciler's own kubeconfig "
            "(spec.access.context)",
        )
    return replace(config, current_context=config.current_context or next(iter(config.contexts)))


def _faults_of_secret(
    config: Kubeconfig, *, insecure: bool, proxy: bool, plain: bool
) -> Iterator[str]:
    allowed = {"insecure-skip-tls-verify": insecure, "proxy-url": proxy}
    options = {"insecure-skip-tls-verify": "insecure-tls", "proxy-url": "proxy"}
    for (section, what), entries in zip(
        _SECTIONS, (config.clusters, config.users, config.contexts), strict=True
    ):
        known = _FROM_A_SECRET[what]
        for name, entry in sorted(entries.items()):
            for key, value in sorted(entry.items(), key=lambda item: str(item[0])):
                where = f"{section}[{name}].{key}"
                if key not in known:
                    yield where
                elif not isinstance(value, known[key]):
                    yield f"{where}, which is no {_WORDS[known[key]]}"
                elif value and not allowed.get(key, True):
                    yield f"{where} (--allow-access {options[key]} would take it)"
            if what == "cluster" and not is_https(entry.get("server"), plain=plain):
                might = is_https(entry.get("server"), plain=True)
                yield (
                    f"{section}[{name}].server, which is no https:// address of a server alone"
                    + (" (--allow-access plain-http would take it)" if might else "")
                )


_WORDS: dict[type, str] = {str: "text", bool: "true or false", list: "list", dict: "map"}


def is_https(server: object, *, plain: bool = False) -> bool:
    """Whether it is an address of a server, without a credential or a query in it. ``plain``:
    ``http://`` will do."""
    schemes = ("https://", "http://") if plain else ("https://",)
    if not isinstance(server, str) or not server.lower().startswith(schemes):
        return False
    return not set(server) & set("@?#\\ ")


def is_local(endpoint: Endpoint) -> bool:
    """Whether it is this machine, as with ``kubectl proxy``: nobody else can listen."""
    host = urlsplit(endpoint.server).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def in_cluster() -> Endpoint | None:
    """The API server of the cluster that this process runs in as a pod, or None outside one."""
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST"),
        os.environ.get("KUBERNETES_SERVICE_PORT"),
    )
    token = SERVICE_ACCOUNT / "token"
    if not (host and port and token.is_file()):
        return None
    address = f"[{host}]" if ":" in host else host
    return Endpoint(
        server=f"https://{address}:{port}",
        headers=bearer_file(token),
        ca_pem=(SERVICE_ACCOUNT / "ca.crt").read_text(),
    )


def own_namespace() -> str:
    """The namespace of the pod that this process runs in; empty outside one."""
    if in_cluster() is None:
        return ""
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _merge(contents: list[tuple[Path, bytes]], *, origin: str) -> Kubeconfig:
    import yaml

    merged: dict[str, dict[str, dict[str, Any]]] = {section: {} for section, _ in _SECTIONS}
    current = ""
    for file, content in contents:
        try:
            document = yaml.load(content, yaml.CSafeLoader) or {}
            for section, key in _SECTIONS:
                for item in document.get(section) or ():
                    if not isinstance(item["name"], str):
                        raise TypeError
                    entry = _absolute_paths(item.get(key) or {}, file.parent)
                    merged[section].setdefault(item["name"], entry)
            current = current or document.get("current-context") or ""
            if not isinstance(current, str):
                raise TypeError
        except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            # The parser's message quotes the file, and the file holds credentials.
            mark = getattr(error, "problem_mark", None)
            where = origin if len(contents) == 1 else str(file)
            where += f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            what = "not valid YAML" if isinstance(error, yaml.YAMLError) else "not of its form"
            raise ClusterUnauthorized("", f"{where}: not a kubeconfig: {what}") from None
    return Kubeconfig(
        merged["contexts"], merged["clusters"], merged["users"], current, origin=origin
    )


def _absolute_paths(entry: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(entry, dict):
        # Its own trouble: other entries of the file may be used.
        return {_NO_MAP: True}
    return {
        key: str(folder / value) if key in _FILES and value and isinstance(value, str) else value
        for key, value in entry.items()
    }


def _pem(entry: dict[str, Any], key: str) -> str:
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"], validate=True).decode()
    return Path(entry[key]).read_text() if entry.get(key) else ""


def _headers(user: dict[str, Any]) -> Callable[[], dict[str, str]]:
    headers: Callable[[], dict[str, str]] = dict
    if user.get("tokenFile"):
        headers = bearer_file(Path(user["tokenFile"]))
    elif user.get("token"):
        headers = bearer(user["token"])
    elif user.get("auth-provider"):
        # Never renewed here: the client library would ask an issuer that it does not verify, with
        # the refresh token. kubectl renews it in the file; an expired one is refused as any other.
        headers = bearer(_id_token(user))
    elif user.get("username"):
        headers = basic(user["username"], user.get("password", ""))
    impersonation = _impersonation(user)
    return (lambda: {**headers(), **impersonation}) if impersonation else headers


def _id_token(user: dict[str, Any]) -> Any:
    """The token that kubectl keeps of an OpenID Connect provider."""
    return map_of(map_of(user.get("auth-provider")).get("config")).get("id-token")


def _impersonation(user: dict[str, Any]) -> dict[str, str]:
    """The headers that ask to be somebody else; see ``_impersonation_fault``."""
    found = {"impersonate-user": user.get("as"), "impersonate-uid": user.get("as-uid")}
    found["impersonate-group"] = next(iter(user.get("as-groups") or ()), None)
    for key, values in (user.get("as-user-extra") or {}).items():
        found[f"impersonate-extra-{quote(str(key), safe='')}"] = next(iter(values), None)
    return {name: str(value) for name, value in found.items() if value}


def _credential_fault(user: dict[str, Any]) -> str:
    """Why a user's credential cannot be used as it is written; empty: it may be one."""
    has = {
        part
        for part in ("certificate", "key")
        for end in ("", "-data")
        if user.get(f"client-{part}{end}")
    }
    if len(has) == 1:
        given = has.pop()
        return f"client-{given} without client-{'key' if given == 'certificate' else 'certificate'}"
    provider = user.get("auth-provider")
    if provider is not None and provider.get("name") != "oidc":
        return (
            f"auth-provider {provider.get('name')!r} is none that kubectl knows since 1.26; "
            "use its credential plugin (exec)"
        )
    if provider is not None and not isinstance(_id_token(user), str):
        return "auth-provider 'oidc' has no id-token in its config, which is text"
    if user.get("tokenFile"):
        try:
            Path(user["tokenFile"]).read_text(encoding="utf-8")
        except OSError as error:
            return f"tokenFile {user['tokenFile']} cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            return f"tokenFile {user['tokenFile']} is no text"
    return ""


def _impersonation_fault(user: dict[str, Any]) -> str:
    """Why a user's impersonation cannot be done as it is written; empty: it can.

    To leave a part out would be to act with other rights than somebody decided on.
    """
    parts = [key for key in ("as-groups", "as-uid", "as-user-extra") if user.get(key)]
    if parts and not user.get("as"):
        return f"{', '.join(parts)} without as"
    groups, extra = user.get("as-groups") or [], user.get("as-user-extra") or {}
    if not isinstance(groups, list) or not isinstance(extra, dict):
        return "as-groups is a list, as-user-extra a map of lists"
    unfit = [key for key in ("as", "as-uid") if not isinstance(user.get(key), str | None)]
    unfit += ["as-groups"] if groups and not _is_single(groups) else []
    unfit += [f"as-user-extra.{k}" for k, v in extra.items() if not _is_single(v)]
    return f"{', '.join(unfit)}: exactly one text can be sent for each" if unfit else ""


def _is_single(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 1
        and isinstance(values[0], str)
        and bool(values[0])
    )


def _by_plugin(config: Kubeconfig, context: str, cluster: str) -> Endpoint:
    import logging

    from kubernetes.config import ConfigException, new_client_from_config_dict

    # The library logs what a plugin says, which is for us to tell, and may quote a credential.
    logging.getLogger().addHandler(logging.NullHandler())
    troubles = (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError)
    hint = f"try: kubectl --context {context} version"

    def failed(error: Exception) -> ClusterUnauthorized:
        # What the plugin printed may be a credential.
        reason = str(error) if isinstance(error, OSError) else type(error).__name__
        return ClusterUnauthorized(
            cluster,
            f"the credential plugin of kubeconfig context {context!r} failed, or printed no "
            f"ExecCredential: {reason}",
            hint=hint,
        )

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        **{
            section: [{"name": name, key: value} for name, value in entries.items()]
            for (section, key), entries in zip(
                _SECTIONS, (config.clusters, config.users, config.contexts), strict=True
            )
        },
    }
    try:
        settings = new_client_from_config_dict(document, context=context).configuration
    except troubles as error:
        raise failed(error) from None

    user = config.users.get(config.contexts[context].get("user", ""), {})
    # The library does not know of it.
    impersonation = _impersonation(user)

    def headers() -> dict[str, str]:
        # Asked anew each time, so that the library can renew what is about to expire.
        try:
            found = settings.auth_settings().values()
        except troubles as error:
            raise failed(error) from None
        given = {s["key"]: s["value"] for s in found if s["in"] == "header" and s["value"]}
        return {**given, **impersonation}

    if headers() == impersonation and not settings.cert_file:
        import shutil

        # The library only logs that a plugin failed.
        program = str(map_of(user.get("exec")).get("command", ""))
        missing = f"{program} is not installed, or not on the PATH"
        raise ClusterUnauthorized(
            cluster,
            f"the credential plugin of kubeconfig context {context!r} gave no credential"
            + (f": {missing}" if program and not shutil.which(program) else ""),
            hint=hint,
        )

    def read(name: str | None) -> str:
        return Path(name).read_text() if name else ""

    return Endpoint(
        server=settings.host.rstrip("/"),
        headers=headers,
        ca_pem=read(settings.ssl_ca_cert),
        client_certificate_pem=read(settings.cert_file),
        client_key_pem=read(settings.key_file),
        server_name=settings.tls_server_name or "",
        proxy_url=settings.proxy or "",
        verify=settings.verify_ssl,
    )
