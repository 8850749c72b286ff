"""The engine beside its peers: `make bench`, or one part of it: `python -m bench.engine totals`.

The driver (this package's `__main__`) never computes. Each peer is a process of its own (`peers.py`), loaded and
warmed once, that runs what the driver tells it and then waits; so no two compute at a time, and the settings that
one library makes for its process are not forced on another. The driver therefore imports neither torch nor
`worker.engine`.
"""
