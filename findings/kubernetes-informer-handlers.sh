#!/usr/bin/env bash
# kubernetes 37.0.2 (the Python client), its new module kubernetes.informer, from PyPI.
#
# A good guess: as in client-go, where these names come from, the cache has already changed when a handler
# is called; and a handler for BOOKMARK that add_event_handler() accepts will be called.
#
# Instead:
# - DELETED comes in two states. From a watch event the cache has dropped the object before the handler
#   runs; from a re-list (resync, or after 410 Gone) the handler runs first, and the cache still holds the
#   object. A handler that asks the cache whether "it is really gone" is right one time and wrong the other.
# - BOOKMARK handlers wait for something that is never asked for: the watch does not send
#   allowWatchBookmarks, without which a server sends no bookmarks. No parameter of the class adds it.
#
# Seen (local server; a is deleted by a watch event, b is missing from the next list):
#   DELETED a: in the cache: False
#   DELETED b: in the cache: True
#   parameters of the watches: resourceVersion, timeoutSeconds, watch
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes==37.0.2

"$work/venv/bin/python" - <<'PY'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from kubernetes import client
from kubernetes.informer import SharedInformer

watches, lists = [], []


def configmap(name, version):
    return {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default", "resourceVersion": version}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        if "watch" in query:
            watches.append(sorted(query))
            # The first watch tells that a is gone, then ends, as timeoutSeconds asks; the others are silent.
            answer = b""
            if len(watches) == 1:
                answer = json.dumps({"type": "DELETED", "object": configmap("a", "2")}).encode() + b"\n"
            threading.Event().wait(1.1)
        else:
            lists.append(sorted(query))
            names = "ab" if len(lists) == 1 else ""
            answer = json.dumps({
                "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"},
                "items": [configmap(name, "1") for name in names]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
configuration = client.Configuration()
configuration.host = f"http://127.0.0.1:{server.server_port}"
api = client.CoreV1Api(client.ApiClient(configuration))

informer = SharedInformer(api.list_namespaced_config_map, namespace="default", resync_period=1)
cached, both = {}, threading.Event()


def deleted(obj):
    name = obj.metadata.name
    cached[name] = informer.cache.get_by_key(f"default/{name}") is not None
    if len(cached) == 2:
        both.set()


informer.add_event_handler("DELETED", deleted)
informer.add_event_handler("BOOKMARK", lambda obj: None)  # accepted
informer.start()
if not both.wait(30):
    sys.exit(f"changed: not both DELETED handlers were called within 30 s: {cached}")
informer.stop()

if cached != {"a": False, "b": True}:
    sys.exit(f"changed: whether the cache held the object in DELETED was {{'a': False, 'b': True}}, is {cached}")
sent = {parameter for watch in watches for parameter in watch}
if sent != {"resourceVersion", "timeoutSeconds", "watch"}:
    sys.exit(f"changed: the parameters of a watch were resourceVersion, timeoutSeconds and watch, are {sorted(sent)}")
print("holds: in DELETED the cache has the object after a re-list but not after a watch event; "
      "bookmarks have handlers and are never asked for")
PY
