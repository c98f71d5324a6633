"""Real member clusters for the tests: etcd, API servers, controllers and pretended nodes.

``build`` makes the programs, ``process`` keeps them, ``etcd``, ``cluster`` and ``controllers`` are
what runs, ``plane`` starts a fleet of them, ``audit`` tells what a run really asked of a server,
and ``fixtures`` is how tests get at all this.
"""
