"""Benchmarks: this tool beside kubectl and beside the least that anyone could do, in one run.

``python -m bench`` measures, ``python -m bench.publish`` puts what it found into ``docs/``.
"""
