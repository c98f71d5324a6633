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

POLICY = """
apiVersion: {version}
kind: MutatingAdmissionPolicy
metadata: {{name: forty-two}}
spec:
  matchConstraints:
    resourceRules:
      - {{apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments]}}
  matchConditions:
    - name: only-other-peoples-requests
      expression: "request.options.?fieldManager.orValue('') != 'federation-reconciler'"
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
    - patchType: ApplyConfiguration
      applyConfiguration:
        expression: "Object{{spec: Object.spec{{replicas: 42}}}}"
---
apiVersion: {version}
kind: MutatingAdmissionPolicyBinding
metadata: {{name: forty-two}}
spec: {{policyName: forty-two}}
"""
"""A mutating admission policy that sets replicas to 42 in everybody's requests but ours."""


def node_port_service(name: str, number: int) -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{name: http, port: 80, targetPort: 8080, nodePort: {number}}}]
"""
