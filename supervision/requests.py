"""Requests that nobody waits for at once: ask now, take the response when it suits.

A ``RequestId`` is a ``Call`` whose answer goes into the mailbox of whoever asked instead of ending a wait. ``lock``
guards its end: whoever posts the response and whoever gives the request up exclude each other, so a request that has
been given up never has a response arrive later.

Counterpart: ``gen_server:send_request/2`` and its family. ``request_ids`` has collections of requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from supervision import mailbox, names, signals
from supervision.arguments import milliseconds
from supervision.calls import Call
from supervision.errors import BadArgument, BadType, ReceiveTimeout
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.scheduler import deliver, notify
from supervision.threads import current, library_call

__all__ = [
    "Answer",
    "RequestId",
    "Response",
    "await_response",
    "check_response",
    "receive_response",
    "send_request",
    "wait_response",
]

Answer = tuple[Literal["reply"], Any] | tuple[Literal["error"], Any]
"""``("reply", value)``, or ``("error", reason)`` where the server ended before it replied."""


class Response(NamedTuple):
    """The response to a request, as it lies in the mailbox; ``check_response`` tells whose it is and what it says.

    Counterpart: the messages that ``gen_server:check_response/2`` takes.
    """

    request_id: RequestId
    answer: Answer


class RequestId(Call):
    """What ``send_request`` returns. Opaque; to the server it is the caller.

    ``owner`` is who asked. ``over`` is set by it alone, when it has taken the response or given the request up.

    Counterpart: ``gen_server:request_id()``.
    """

    __slots__ = ("lock", "over", "owner")

    def __init__(self, owner: Process, request: Any) -> None:
        super().__init__(current.record, owner.pid, request)
        self.owner = owner
        self.lock = threading.Lock()
        self.over = False

    def __repr__(self) -> str:
        return f"<request of {self.pid!r}>"

    def fire(self, value: Any = None) -> bool:
        """Post the response; False if there has been one, or nobody wants it any more."""
        if not self._post(value):
            return False
        signals.demonitor(self.owner, self)
        notify(self.owner)
        return True

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """Post that the server has ended; the caller notifies."""
        self._post((False, reason))
        signals.forget_monitor(self.owner, self)
        return self.owner  # also if that has been posted: an interruption may have come before the notice

    def give_up_response(self) -> bool:
        """Have no response posted any more; False if it has been."""
        self.over = True
        with self.lock:
            in_time = self.fired.acquire(False)
        signals.demonitor(self.owner, self)
        return in_time

    def _post(self, value: tuple[bool, Any]) -> bool:
        answered, content = value
        answer: Answer = ("reply", content) if answered else ("error", content)
        response = Response(self, answer)
        with self.lock:
            if not self.fired.acquire(False):
                return False
            if not self.owner.dead:
                self.owner.mailbox.append(response)
        return True


@library_call
def send_request(dest: Any, request: Any) -> RequestId:
    """Sends a request to an actor and does not wait for the response, which arrives as a message.

    Take it with ``wait_response`` or ``receive_response``; or in ``handle_info``, where ``check_response`` tells which
    message it is. A server that is not there, or ends, makes an error response.

    Args:
        dest: a pid, a registered name or a via.
        request: what ``handle_call`` gets.

    Counterpart: ``gen_server:send_request/2``.
    """
    me = this_process()
    target = names.find(dest)
    request_id = RequestId(me, request)
    if target is me:  # answered later, by the loop that this callback returns to
        deliver(me, request_id)
    elif target is not None and signals.watch_for(me, target, request_id, request_id):
        deliver(target, request_id)
    else:
        request_id.fire((False, "noproc"))
    return request_id


@library_call
def wait_response(request_id: RequestId, timeout: float = INFINITY) -> Answer | None:
    """Waits for the response to a request of the caller.

    Args:
        request_id: what ``send_request`` returned.
        timeout: milliseconds, or INFINITY. A request that it runs out for is still open, and can be waited for again.

    Returns:
        ``("reply", value)``, ``("error", reason)`` of a server that ended, or None: there is no response yet.

    Raises:
        BadArgument: the request is another process's, or its response has been taken or given up already.

    Counterpart: ``gen_server:wait_response/2``.
    """
    check_open(request_id)
    response = await_response(lambda found: found is request_id, timeout)
    return None if response is None else response.answer


@library_call
def receive_response(request_id: RequestId, timeout: float = INFINITY) -> Answer | None:
    """Waits for the response like ``wait_response``, and gives the request up if there is none in time.

    A response that comes later is dropped.

    Counterpart: ``gen_server:receive_response/2``.
    """
    answer = wait_response(request_id, timeout)
    if answer is None and not request_id.give_up_response():
        for response in take_responses(lambda found: found is request_id):  # it came in the last moment
            return response.answer
    return answer


@library_call
def check_response(message: Any, request_id: RequestId) -> Answer | None:
    """Tells whether a message is the response to a request: what it says if so, else None.

    Counterpart: ``gen_server:check_response/2``.
    """
    _check_type(request_id)
    if type(message) is not Response or message.request_id is not request_id:
        return None
    request_id.over = True
    return message.answer


def check_open(request_id: RequestId) -> None:
    """Refuse a request that the caller can await no response to."""
    _check_type(request_id)
    if request_id.owner is not this_process():
        raise BadArgument(f"only the process that sent it can await the response, got {request_id!r}")
    if request_id.over:
        raise BadArgument(f"the response has been taken, or given up: {request_id!r}")


def _check_type(request_id: RequestId) -> None:
    if not isinstance(request_id, RequestId):
        raise BadType(f"request_id must be what send_request returned, got {request_id!r}")


def await_response(wanted: Callable[[RequestId], bool], timeout: float) -> Response | None:
    """Take the first response to a request that is wanted out of the caller's mailbox; None if none comes in time."""
    milliseconds("timeout", timeout)
    try:
        response: Response = mailbox.receive(this_process(), current.record, _response_to(wanted), timeout)
    except ReceiveTimeout:
        return None
    response.request_id.over = True
    return response


def take_responses(wanted: Callable[[RequestId], bool]) -> list[Response]:
    """Take all responses to requests that are wanted out of the caller's mailbox."""
    return mailbox.take_all(this_process(), _response_to(wanted))


def _response_to(wanted: Callable[[RequestId], bool]) -> Callable[[Any], bool]:
    return lambda message: type(message) is Response and wanted(message.request_id)
