"""`reconcile credential`: a kubeconfig's exec plugin for members on EKS and GKE."""

from __future__ import annotations

import os

import click

from reconciler.api.options import FLEET
from reconciler.cli.command_group import GroupedCommand
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import option

EPILOG = """\b
In a kubeconfig:
  users:
    - name: aws-eu
      user:
        exec:
          apiVersion: client.authentication.k8s.io/v1
          command: reconcile
          args: [credential, eks, --cluster-name, shop-eu, --region, eu-central-1]
          interactiveMode: Never
\b
For GKE: args: [credential, gke]
"""


@click.command(cls=GroupedCommand, epilog=EPILOG)
@click.argument("provider", type=click.Choice(["eks", "gke"]))
@option("--cluster-name", metavar="NAME", heading=FLEET, help="EKS: the cluster's name in AWS.")
@option("--region", metavar="REGION", heading=FLEET, help="EKS: its region. [default: AWS_REGION]")
def credential(provider: str, cluster_name: str | None, region: str | None) -> int:
    """Print a short-lived token for a member on EKS or GKE.

    By the workload's own identity in that cloud: an IAM role (IRSA, Pod Identity) or a Google
    service account (Workload Identity). It replaces `aws eks get-token` and
    `gke-gcloud-auth-plugin`.
    """
    if (provider == "eks") != bool(cluster_name):
        raise click.UsageError("--cluster-name goes with eks, and eks needs it.")
    from reconciler.cluster.cloud_identity import eks_token, exec_credential, gke_token

    token = eks_token(cluster_name, region) if cluster_name else gke_token()
    click.echo(exec_credential(token, os.environ.get("KUBERNETES_EXEC_INFO", "")))
    return Exit.OK
