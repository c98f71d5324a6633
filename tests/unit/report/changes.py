"""Single changes of every sort, as real plans hold them."""

from __future__ import annotations

from reconciler.api.objects import Object, ObjectKey
from reconciler.api.reasons import Cause, Reason, remark
from reconciler.plan.model import ABSENT, Action, Change, FieldChange
from reconciler.plan.redact import AFTER, BEFORE

CANARY = "canary-in-the-request"
"""Stands in Secrets' request bodies only: no report may show it."""


def deployment(name: str, namespace: str = "shop") -> ObjectKey:
    return ObjectKey("apps", "Deployment", namespace, name)


def image(container: str, old: str, new: str, *managers: str) -> FieldChange:
    path = f"spec.template.spec.containers[name={container}].image"
    where = "registry.example.com/shop"
    return FieldChange(path, f"{where}/{container}:{old}", f"{where}/{container}:{new}", managers)


def replicas(old: int, new: int, *managers: str) -> FieldChange:
    return FieldChange("spec.replicas", old, new, managers)


CATALOG = Change(
    Action.UPDATE,
    deployment("catalog"),
    "apps/v1",
    (
        replicas(4, 5),
        image("catalog", "5.2.1", "5.3.0"),
        FieldChange(
            "spec.template.spec.containers[name=catalog].env[name=CACHE].value", ABSENT, "redis"
        ),
    ),
    reasons=(Reason(Cause.IN_GIT),),
    origin="shop/catalog/deployment.yaml:1:1",
)
FRONTEND_DRIFT = Change(
    Action.UPDATE,
    deployment("frontend"),
    "apps/v1",
    (image("frontend", "2.13.9-debug", "2.14.0", "kubectl-set"),),
    reasons=(Reason(Cause.DRIFT, ("kubectl-set",)),),
    origin="shop/frontend/deployment.yaml:1:1",
)
SETTINGS = Change(
    Action.UPDATE,
    ObjectKey("", "ConfigMap", "shop", "shop-settings"),
    "v1",
    (
        FieldChange(
            'data["nginx.conf"]',
            "worker_processes 2;\nevents {}\nhttp {\n  keepalive_timeout 65;\n  gzip off;\n}\n",
            "worker_processes 4;\nevents {}\nhttp {\n  keepalive_timeout 65;\n  gzip on;\n}\n",
        ),
        FieldChange("data.CURRENCIES", "EUR", "EUR,USD,GBP"),
        FieldChange("data.LEGACY", "true", ABSENT),
    ),
    reasons=(Reason(Cause.IN_GIT),),
    origin="platform/settings.yaml:4:1",
)
SECRET_UPDATE = Change(
    Action.UPDATE,
    ObjectKey("", "Secret", "shop", "session-signing"),
    "v1",
    (FieldChange("data.key", BEFORE, AFTER),),
    reasons=(Reason(Cause.IN_GIT),),
    origin="platform/settings.yaml:21:1",
    request={"kind": "Secret", "data": {"key": CANARY}},
)
SECRET_CREATE = Change(
    Action.CREATE,
    ObjectKey("", "Secret", "payments", "stripe"),
    "v1",
    (FieldChange("stringData.token", ABSENT, AFTER), FieldChange("type", ABSENT, "Opaque")),
    reasons=(Reason(Cause.NEW),),
    origin="payments/secrets.yaml:1:1",
    request={"kind": "Secret", "stringData": {"token": CANARY}},
)
REVIEWS: Object = {
    "spec": {
        "replicas": 3,
        "template": {
            "spec": {"containers": [{"name": "reviews", "image": "registry.example.com/reviews:1"}]}
        },
    }
}
CREATE = Change(
    Action.CREATE,
    deployment("reviews"),
    "apps/v1",
    (FieldChange("spec.replicas", ABSENT, 3), FieldChange("spec.paused", ABSENT, False)),
    reasons=(Reason(Cause.NEW),),
    origin="shop/reviews/deployment.yaml:1:1",
    request=REVIEWS,
)
CREATE_SERVICE = Change(
    Action.CREATE,
    ObjectKey("", "Service", "shop", "reviews"),
    "v1",
    (FieldChange("spec.type", ABSENT, "ClusterIP"),),
    reasons=(Reason(Cause.NEW),),
    origin="shop/reviews/service.yaml:1:1",
    request={"spec": {"type": "ClusterIP", "ports": [{"port": 8080}, {"port": 9090}]}},
)
PRUNE = Change(
    Action.PRUNE,
    ObjectKey("batch", "CronJob", "shop", "nightly-report"),
    "batch/v1",
    reasons=(Reason(Cause.REMOVED),),
)
RECREATE = Change(
    Action.RECREATE,
    ObjectKey("batch", "Job", "shop", "catalog-import"),
    "batch/v1",
    (image("catalog", "5.2.1", "5.3.0"),),
    reasons=(Reason(Cause.RECREATE, detail="spec.template is immutable"),),
    origin="shop/catalog/import.yaml:1:1",
)
ADOPT = Change(
    Action.ADOPT,
    ObjectKey("networking.k8s.io", "Ingress", "shop", "frontend"),
    "networking.k8s.io/v1",
    (FieldChange("spec.ingressClassName", "nginx", "gce"),),
    reasons=(Reason(Cause.UNCLAIMED),),
    origin="shop/frontend/ingress.yaml:1:1",
)
CONFLICT = Change(
    Action.FAILED,
    deployment("cart"),
    "apps/v1",
    error=(
        "conflict: spec.replicas is owned by keda-operator; take it with --force-conflicts or the "
        'annotation federation.reconciler.dev/force-conflicts: "true", or leave it out in Git'
    ),
    origin="shop/cart/deployment.yaml:1:1",
)
ORPHAN = Change(
    Action.ORPHAN,
    ObjectKey("", "PersistentVolumeClaim", "shop", "uploads"),
    "v1",
    reasons=(Reason(Cause.REMOVED), remark("federation.reconciler.dev/orphan: it stays")),
)
WIDGET = Change(
    Action.CREATE,
    ObjectKey("example.com", "Widget", "shop", "banner"),
    "example.com/v1",
    (FieldChange("spec.size", ABSENT, 3),),
    reasons=(Reason(Cause.NEW),),
    origin="shop/widget.yaml:1:1",
    verified=False,
    request={"spec": {"size": 3}},
)
