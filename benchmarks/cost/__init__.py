"""What work costs, counted instead of timed: `python -m benchmarks.cost`.

Function calls, lock operations, system calls and bytes, for one request, one connection, one cast and so on; a busy
machine gives the same figures. Each kind of counting has a server process of its own, because each disturbs the others.
"""
