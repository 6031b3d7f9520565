"""Churn for as long as `SOAK_SECONDS` says, and a test that nothing has grown: `python -m benchmarks.soak`.

Connections over TCP and TLS come, echo and go; actors are started, registered, given timers, stopped and killed. After
each burst everything is quiet again, and what the process holds is counted.
"""
