"""The actor runtimes under test, each run a process of its own: `python -m benchmarks.actors CONTENDER WORK SECONDS`.

Prints one JSON object: `{"value": …}`, operations per second, or bytes per actor for the work `memory`.
"""
