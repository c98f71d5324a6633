"""A process that stays: what its runs came to, told over HTTP to kubelets and Prometheus."""
