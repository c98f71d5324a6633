"""Short-lived tokens for members on EKS and GKE, by the identity that a cloud gives to a workload.

What ``aws eks get-token`` and ``gke-gcloud-auth-plugin`` do, without either: the image has the two
clouds' libraries anyway, for DNS.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconciler.api.errors import ReconcileError
from reconciler.api.objects import map_of

EKS_URL_SECONDS = 60
"""What EKS asks to be written into the address; it takes one for a quarter of an hour."""
EKS_TOKEN_SECONDS = 14 * 60
# The second lets GKE know the account by its e-mail address, not only by its number.
GOOGLE_SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/userinfo.email",
)
EXEC_API = "client.authentication.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class CloudToken:
    """A bearer token; ``expires`` is Unix time."""

    value: str = field(repr=False)
    expires: float


def eks_token(cluster_name: str, region: str | None) -> CloudToken:
    """The token by which an EKS cluster knows the caller's IAM identity.

    It is the signed address of a question, "who am I?", which EKS asks AWS' STS in our name.
    ``region`` None: that of the environment. Raises ReconcileError.
    """
    try:
        import botocore.session
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise _not_installed(error) from None
    try:
        session = botocore.session.get_session()
        sts = session.create_client("sts", region_name=region)
        credentials = session.get_credentials()
        if credentials is None:
            raise ReconcileError(
                "no AWS identity: neither a role for this ServiceAccount nor keys were found",
                hint="annotate the ServiceAccount with eks.amazonaws.com/role-arn",
            )
        request = AWSRequest(
            "GET",
            f"{sts.meta.endpoint_url.rstrip('/')}/",
            headers={"x-k8s-aws-id": cluster_name},
            params={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        )
        frozen = credentials.get_frozen_credentials()
        signer = SigV4QueryAuth(frozen, "sts", sts.meta.region_name, expires=EKS_URL_SECONDS)
        signer.add_auth(request)
    except (BotoCoreError, ClientError) as error:
        raise ReconcileError(f"AWS gives no token: {error}") from error
    address = base64.urlsafe_b64encode(request.url.encode()).decode().rstrip("=")
    return CloudToken(f"k8s-aws-v1.{address}", time.time() + EKS_TOKEN_SECONDS)


def gke_token() -> CloudToken:
    """An access token of the Google identity that this process has. Raises ReconcileError."""
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
    except ImportError as error:
        raise _not_installed(error) from None
    try:
        credentials, _ = google.auth.default(scopes=GOOGLE_SCOPES)
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise ReconcileError(
            f"Google gives no token: {error}",
            hint="annotate the ServiceAccount with iam.gke.io/gcp-service-account",
        ) from error
    # Google's library has times without a zone, in UTC.
    return CloudToken(credentials.token, credentials.expiry.replace(tzinfo=UTC).timestamp())


def exec_credential(token: CloudToken, asked: str = "") -> str:
    """What a kubeconfig's exec plugin prints: one line of JSON.

    ``asked`` is what the plugin gets in KUBERNETES_EXEC_INFO; its answer has the same version.
    """
    try:
        version = map_of(json.loads(asked)).get("apiVersion", EXEC_API)
    except ValueError:
        version = EXEC_API
    expires = datetime.fromtimestamp(int(token.expires), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"token": token.value, "expirationTimestamp": expires}
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})


def _not_installed(error: ImportError) -> ReconcileError:
    return ReconcileError(
        f"the cloud's library is not installed: {error.name}",
        hint="pip install 'federation-reconciler[cloud]'",
    )
