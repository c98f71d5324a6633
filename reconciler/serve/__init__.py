"""A process that stays: what its runs came to, served over HTTP to kubelets and Prometheus."""
