"""The pods of the overlays, run for real: two that take turns, one that a cloud vouches for."""

from __future__ import annotations

import base64
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml

from tests.controlplane.fixtures import Kubectl
from tests.controlplane.process import eventually, free_port
from tests.unit.cluster.google_metadata import ACCOUNT, metadata_server

from .conftest import CRONJOB, SHOP, Host
from .pods import Pod

SERVICE_ACCOUNT = "/api/v1/namespaces/federation-system/serviceaccounts/reconcile"


def probed(pod: Pod, probe: str, port: int) -> int:
    """The status that a kubelet's probe would get; 0 while nobody listens."""
    path = pod.container[probe]["httpGet"]["path"]
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 0


def begin(host: Host, name: str) -> tuple[Pod, int]:
    """A pod of the Deployment, on a free port of this machine, and at a test's pace."""
    pod = host.pod(name, kind="Deployment")
    (container,) = pod.object["spec"]["containers"]
    assert container["args"] == ["--every", "60s", "--listen", ":8080"]
    port = free_port()
    container["args"] = ["--every", "2s", "--listen", f":{port}"]
    return pod.begin(), port


def test_two_pods_of_the_deployment_take_turns_until_one_is_gone(
    host: Host, kubectl: Kubectl
) -> None:
    host.desk.join()
    host.commit()
    host.apply("overlays/continuous")
    with host.cluster.recorded() as at_home, host.desk.member.recorded() as there:
        (one, port_one), (two, port_two) = begin(host, "one"), begin(host, "two")
        for pod, port in ((one, port_one), (two, port_two)):
            eventually(lambda p=pod, n=port: probed(p, "readinessProbe", n) == 200, "ready", 90)
            assert probed(pod, "livenessProbe", port) == 200
        assert "web" in kubectl(host.desk.member, "get", "deployments", "-n", "shop", "-o", "name")
        assert one.process
        one.process.kill()
        one.process.communicate()
        host.desk.write("shop.yaml", SHOP.replace("colour: green", "colour: blue"))
        host.commit()

        def colour() -> str:
            path = "-o=jsonpath={.data.colour}"
            return kubectl(host.desk.member, "get", "cm", "settings", "-n", "shop", path)

        # At the latest when the Lease of the one that was killed ends.
        eventually(lambda: colour() == "blue", "the other goes on", 150)
        ended = two.terminate()
    # 143 where what it wrote itself has just made it look again.
    assert ended.code in (0, 143), ended.said
    assert not [request for request in [*at_home, *there] if request.code in (401, 403)]
    assert {r.user for r in at_home if "reconcile" in r.user} == {host.account()}


def test_a_member_is_opened_by_the_clouds_word_alone(host: Host) -> None:
    """GKE: the metadata server hands out a token that the member takes for the Google account."""
    host.desk.join("--auth", "exec", "--user", "reconciler", "--access-context", "google")
    host.commit()
    server = host.desk.member
    folder = host.overlay("overlays/gke")
    authority = base64.b64encode(server.certificate.read_bytes()).decode()
    kubeconfig = yaml.safe_load((CRONJOB / "overlays/gke/kubeconfig").read_text())
    kubeconfig["clusters"][0]["cluster"] = {
        "server": server.url,
        "certificate-authority-data": authority,
    }
    kubeconfig["contexts"][0]["name"] = "google"
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    fleet = "  - {name: fleet, behavior: merge, files: [kubeconfig]}"
    host.apply("overlays/gke", fleet)
    account = host.cluster.call("GET", SERVICE_ACCOUNT)
    assert account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"] == ACCOUNT
    with metadata_server(server.tokens["reconciler"]) as google, server.recorded() as there:
        ended = host.pod("first").run(**google.environment)
    assert ended.code == 0, ended.said
    assert "Done: 3 created." in ended.said
    assert {request.user for request in there} == {"reconciler"}
    assert not [request for request in there if request.code in (401, 403)]
    secrets = host.cluster.call("GET", "/api/v1/namespaces/federation-system/secrets")["items"]
    assert [one["metadata"]["name"] for one in secrets] == ["git"]
    assert server.tokens["reconciler"] not in ended.said
