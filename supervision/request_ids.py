"""Requests that are awaited together: whichever response comes first is taken first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from supervision.errors import BadArgument, NotFound
from supervision.requests import (
    Answer,
    RequestId,
    Response,
    await_response,
    check_open,
    check_response,
    send_request,
    take_responses,
)
from supervision.threads import library_call

__all__ = ["RequestIds"]


class RequestIds:
    """A collection of requests of one process, each with a label that says what it was for.

    ``len`` tells how many there are; iterating gives pairs of request and label.

    Counterpart: ``gen_server:request_id_collection()``, ``gen_server:reqids_new/0``, ``reqids_size/1``,
    ``reqids_to_list/1``.
    """

    def __init__(self) -> None:
        self._labels: dict[RequestId, Any] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[tuple[RequestId, Any]]:
        return iter(list(self._labels.items()))

    def add(self, request_id: RequestId, label: Any) -> None:
        """Adds a request of the caller.

        Raises:
            BadArgument: it is there already, it is another process's, or its response has been taken.

        Counterpart: ``gen_server:reqids_add/3``.
        """
        check_open(request_id)
        if request_id in self._labels:
            raise BadArgument(f"the request is in the collection already: {request_id!r}")
        self._labels[request_id] = label

    def send_request(self, dest: Any, request: Any, label: Any) -> RequestId:
        """Sends a request, as ``send_request`` does, and adds it.

        Counterpart: ``gen_server:send_request/4``.
        """
        request_id = send_request(dest, request)
        self.add(request_id, label)
        return request_id

    @library_call
    def wait_response(self, timeout: float, *, delete: bool = True) -> tuple[Answer, Any] | None:
        """Waits for a response to any of the requests.

        Args:
            timeout: milliseconds, or INFINITY.
            delete: whether a request that has its response leaves the collection.

        Returns:
            The response and the label of its request, or None if none came in time.

        Raises:
            NotFound: the collection is empty.

        Counterpart: ``gen_server:wait_response/3``.
        """
        self._check_not_empty()
        response = await_response(self._labels.__contains__, timeout)
        return None if response is None else self._labelled(response, delete=delete)

    @library_call
    def receive_response(self, timeout: float, *, delete: bool = True) -> tuple[Answer, Any] | None:
        """Waits like ``wait_response``, and gives all the requests up if no response comes in time.

        Counterpart: ``gen_server:receive_response/3``.
        """
        found = self.wait_response(timeout, delete=delete)
        if found is None:
            for request_id in self._labels:
                request_id.give_up_response()
            take_responses(self._labels.__contains__)  # those that came in the last moment
        return found

    def check_response(self, message: Any, *, delete: bool = True) -> tuple[Answer, Any] | None:
        """Tells whether a message is the response to one of the requests: the response and the label if so, else None.

        Raises:
            NotFound: the collection is empty.

        Counterpart: ``gen_server:check_response/3``.
        """
        self._check_not_empty()
        if type(message) is not Response or message.request_id not in self._labels:
            return None
        check_response(message, message.request_id)
        return self._labelled(message, delete=delete)

    def _labelled(self, response: Response, *, delete: bool) -> tuple[Answer, Any]:
        request_id = response.request_id
        return response.answer, self._labels.pop(request_id) if delete else self._labels[request_id]

    def _check_not_empty(self) -> None:
        if not self._labels:
            raise NotFound("there is no request in the collection")
