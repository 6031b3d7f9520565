"""The actor runtimes under test, each run a process of its own: `python -m benchmarks.actors CONTENDER WORK AMOUNT`.

The amount is how many seconds to work, or for the work `resident` the number of actors. Prints one JSON object,
`{"value": …}`: operations per second; for `memory` bytes per actor; for `resident` the bytes of the whole process.
"""
