"""A process that was spawned becomes an actor: it has done by itself what ``init`` would have done.

Counterpart: ``gen_server:enter_loop/5``. ``trampoline`` has the exception by which its function is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from supervision import names
from supervision.errors import CallError
from supervision.foreign import this_process
from supervision.messages import Exit
from supervision.process_table import Pid, Process
from supervision.results import Ok
from supervision.server import Server
from supervision.threads import ThreadRecord
from supervision.trampoline import Become, FunctionBody

if TYPE_CHECKING:
    from supervision.actor import Actor

__all__ = ["enter_loop"]


def enter_loop(actor_class: type[Actor], result: Ok, name: Any) -> NoReturn:
    """Leave the function that the calling process runs, and go on as an actor.

    Raises:
        CallError: the process was not spawned, or does not have the name; or the class has a loop of its own.
    """
    me = this_process()
    if type(me.body) is not FunctionBody:
        raise CallError(f"only a process that was spawned can become an actor, not {me.pid!r}")
    if name is not None and names.find(name) is not me:
        raise CallError(f"the process is not registered as {name!r}")
    if actor_class.server_class is not Server:
        raise CallError(f"{actor_class.__name__} has a loop of its own, which only its start can enter")
    server = Server(actor_class(), me)

    def begin(record: ThreadRecord) -> None:
        me.kind = actor_class.kind
        me.initial_call = actor_class.__qualname__
        me.parent = _linked_creator(me)
        server.enter(result, record)

    raise Become(server, begin)


def _linked_creator(process: Process) -> Pid | None:
    """Who spawned the process and is, or was, linked to it: its exit is an order, as that of a starter is."""
    if not process.ancestors:
        return None
    creator = process.ancestors[0]
    with process.lock:  # under which a death takes the link away and queues the Exit
        linked = process.links is not None and creator._process in process.links
        mailbox = process.mailbox
        waiting = [mailbox[place] for place in range(len(mailbox))]  # a copy would fail while others send
    if linked or any(type(message) is Exit and message.pid is creator for message in waiting):
        return creator
    return None
