"""The servers under test, each a process of its own: `python -m benchmarks.servers NAME`.

The first line on stdout is the port. SIGUSR1 collects garbage and answers with the line `collected`, so that memory is
measured without what merely has not been collected yet; SIGTERM ends the process.
"""
