"""Benchmarks of `thousand_island` and `supervision` beside their peers.

`python -m benchmarks` is the referee: every row, every peer, one run, interleaved rounds, medians and spread.
"""
