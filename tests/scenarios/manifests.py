"""Manifests that several scenarios use, as a user would write them."""

NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1.0
          env: [{name: MODE, value: fast}, {name: LEVEL, value: info}]
          resources: {limits: {cpu: 1000m}}
"""

SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: green, size: "3"}
"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""

SHOP = "---".join([NAMESPACE, WEB, SETTINGS, SERVICE])
