"""``vmi engine``: the process of ``vmi serve`` that does the runs. Not for people: ``vmi serve`` starts it."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from vertex_model_inference.errors import VmiError

__all__ = ["engine"]

_NICENESS = 5  # the webhook answers first
_LOST = 75  # exit code: others do its work; `vmi serve` starts it again


def engine() -> None:
    """Work on queued runs until SIGTERM, or until stdin ends.

    One line on stdout tells how the start went: ``working``, or ``problem`` and a JSON object with
    ``code``, ``message``, ``hint`` and ``retryable`` (exit code 1).
    """
    import signal

    from vertex_model_inference.cli import logs, memory

    logs.to_stderr()
    memory.give_back()
    os.nice(_NICENESS)
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    threading.Thread(target=_end_with_parent, name="vmi-parent", daemon=True).start()
    _work(told)


def _end_with_parent() -> None:
    """End at once when stdin does: ``vmi serve`` was killed, and so is its engine."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _work(told: threading.Event) -> None:
    import structlog

    from vertex_model_inference import settings
    from vertex_model_inference.cli.leaving import leave
    from vertex_model_inference.errors import VmiError

    try:
        from vertex_model_inference.runs.service import RunService

        service = RunService(settings.load(), lost=lambda: os._exit(_LOST))
        service.start()
    except VmiError as error:
        _refuse(error)
    except Exception as error:  # noqa: BLE001  # logged in full, and told to the webhook
        structlog.get_logger("vmi.engine").exception("the start of the engine failed")
        _refuse(
            VmiError(
                f"The engine could not be started ({type(error).__name__}).",
                code="engine",
                hint="The server's log has the cause.",
            )
        )
    sys.stdout.write("working\n")
    sys.stdout.flush()
    threading.Thread(target=_settle, name="vmi-settle", daemon=True).start()
    told.wait()
    service.stop()
    leave(0)


def _refuse(error: VmiError) -> NoReturn:
    import json

    said = {"code": error.error_code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
    sys.stdout.write(f"problem {json.dumps(said)}\n")
    sys.stdout.flush()
    os._exit(1)  # half an engine's threads could keep the process


def _settle() -> None:
    """Import what the first run would, then take all of it out of the garbage collector's sight.

    The SDKs are 230,000 objects: a full collection that walks them stops every thread for 125 ms.
    """
    import gc

    import google.cloud.aiplatform_v1  # noqa: F401
    import labelbox  # noqa: F401

    gc.collect()
    gc.freeze()
