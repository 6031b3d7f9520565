"""What the storm programs have in common: pauses at the seams of the scheduler's protocol."""

from __future__ import annotations

# Run before anything else in a program. Every flag of every process, and every wait, yields the processor at random
# before or after it is tested, taken or dropped, so that threads meet where they rarely would.
PAUSING = """
import random, sys, threading, time
from types import SimpleNamespace
import supervision
from supervision import process, process_table, waits

class PausingLock:
    def __init__(self):
        self.lock = REAL()
    def pause(self):
        if random.random() < 0.05:
            time.sleep(0)
    def acquire(self, *args):
        self.pause()
        taken = self.lock.acquire(*args)
        self.pause()
        return taken
    def release(self):
        self.pause()
        self.lock.release()
        self.pause()
    def locked(self):
        self.pause()
        answer = self.lock.locked()
        self.pause()
        return answer
    def __enter__(self):
        self.acquire()
    def __exit__(self, *exc):
        self.release()

REAL = threading.Lock
for module in (process_table, waits):
    module.threading = SimpleNamespace(Lock=PausingLock, TIMEOUT_MAX=threading.TIMEOUT_MAX)
sys.setswitchinterval(1e-6)

class Alone(supervision.Actor):
    '''Asserts that no other thread runs it.'''
    def init(self, arg):
        self.inside = REAL()
        return supervision.Ok(arg)
    def alone(self):
        assert self.inside.acquire(False), "two threads run one actor"
        if random.random() < 0.01:
            time.sleep(0)
        self.inside.release()
"""
