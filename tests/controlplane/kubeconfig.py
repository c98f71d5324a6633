"""The file through which kubectl, and the tool under test, find member clusters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from tests.controlplane.cluster import Cluster


def write_kubeconfig(path: Path, contexts: Mapping[str, Cluster], *, user: str = "admin") -> None:
    """One context per entry, with the certificate authority to verify the server by."""
    first = next(iter(contexts), "")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": first,
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": cluster.url,
                    "certificate-authority": str(cluster.certificate),
                },
            }
            for name, cluster in contexts.items()
        ],
        "users": [
            {"name": f"{user}@{name}", "user": {"token": cluster.tokens[user]}}
            for name, cluster in contexts.items()
        ],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": f"{user}@{name}"}}
            for name in contexts
        ],
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
