"""Starting an actor that is monitored from before it runs, so that its Down has the reason of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervision import process, signals
from supervision.process_table import Pid, Process, Ref
from supervision.start import StartOptions, start

if TYPE_CHECKING:
    from supervision.actor import Actor

__all__ = ["start_monitor"]


def start_monitor(actor_class: type[Actor], arg: Any, options: StartOptions) -> tuple[Pid, Ref]:
    """Start an actor like ``start``, monitored by the caller; of one that could not be started no Down is left."""
    refs: list[Ref] = []

    def meet(starter: Process, started: Process) -> None:
        refs.append(signals.monitor(starter, started, started.pid))

    try:
        return start(actor_class, arg, options, linked=False, meet=meet), refs[0]
    except BaseException:  # whatever it is, the caller learns of the failure by it
        for ref in refs:
            process.demonitor(ref, flush=True)
        raise
