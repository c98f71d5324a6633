"""Writes ``recorded.json`` beside it: what Kubernetes' own defaults and conversions make of each of
``manifests.yaml``, and of what ours makes of it.

    python tests/unit/manifests/old_api/record.py PROGRAM

PROGRAM is main.go, built with the go.mod and go.sum of tests/controlplane beside it. Groups that it
does not know, as the old version is in no source any more or no other than the new, are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from reconciler.manifests.conversions import conversion_of

HERE = Path(__file__).parent


def main(program: str) -> None:
    entries = []
    for body in yaml.safe_load_all((HERE / "manifests.yaml").read_text()):
        found = conversion_of(body)
        if found is None or not found.is_possible:
            raise SystemExit(f"not converted: {body['kind']} {body['metadata']['name']}")
        made = [made_of(program, found.version.successor, one) for one in (body, found.body)]
        if not any("error" in one for one in made):
            entries.append({"old": body, "converted": found.body, "made": made})
    lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in entries)
    (HERE / "recorded.json").write_text(f"[\n{lines}\n]\n")


def made_of(program: str, version: str, body: object) -> dict[str, object]:
    line = json.dumps({"to": version, "object": body})
    done = subprocess.run([program], input=line, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main(sys.argv[1])
