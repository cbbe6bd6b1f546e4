"""``POST /runs/RUN/rows/label``: the rows of a view into a Labelbox project, for people to label."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vertex_model_inference.errors import RequestError
from vertex_model_inference.labelbox.gateway import BATCH_ROWS, Labelbox
from vertex_model_inference.pages import row_query
from vertex_model_inference.pages.access import form_of
from vertex_model_inference.pages.rendering import HEADERS
from vertex_model_inference.pages.row_filters import Filters, read_filters
from vertex_model_inference.pages.site import Site
from vertex_model_inference.runs.labelling import Sent, batch_name, send_rows

__all__ = ["Sender", "project_of", "sending_routes"]

_AT_ONCE = 2
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_IN_ADDRESS = re.compile(r"https?://[^/\s]+/projects/([0-9A-Za-z_-]{1,64})(?:[/?#]\S*)?")


class Sender:
    """Sends rows to projects, in threads of its own: Labelbox takes seconds for a batch, minutes for a large one.

    Args:
        connect: Makes a gateway to Labelbox, which is closed after use.
    """

    def __init__(self, connect: Callable[[], Labelbox]) -> None:
        self._connect = connect
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="vmi-pages-send")
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str], Future[Sent]] = {}

    def send(self, run_id: str, project_id: str, data_row_ids: Sequence[str]) -> Future[Sent]:
        """Begin to send rows, or join who sends the same: a form that was sent twice. See ``send_rows``."""
        key = project_id, batch_name(run_id, data_row_ids)
        with self._lock:
            going = self._under_way.get(key)
            if going is None:
                going = self._under_way[key] = self._pool.submit(self._sent, run_id, project_id, data_row_ids)
        # Outside the lock: of what has ended already it is called at once, by this thread.
        going.add_done_callback(lambda done: self._forget(key, done))
        return going

    def _sent(self, run_id: str, project_id: str, data_row_ids: Sequence[str]) -> Sent:
        with closing(self._connect()) as labelbox:
            return send_rows(labelbox, run_id, project_id, data_row_ids)

    def _forget(self, key: tuple[str, str], done: Future[Sent]) -> None:
        with self._lock:
            if self._under_way.get(key) is done:
                del self._under_way[key]


def sending_routes(site: Site) -> list[Route]:
    """What the form below the gallery is sent to; it says no where nothing can be sent."""
    sender = None if site.connect is None else Sender(site.connect)

    async def send(request: Request) -> Response:
        fields = await form_of(request)
        if sender is None:
            raise RequestError(
                "These pages send nothing to Labelbox.",
                code="read_only",
                hint="`vmi serve` with LABELBOX_API_KEY serves pages that can.",
            )
        project, most, filters = project_of(fields.get("project", "")), _most(fields), read_filters(fields)
        run_id, ids = await run_in_threadpool(partial(_chosen, site, request.path_params["run"], filters, most))
        # Shielded: a visitor who leaves takes nothing away from another who waits for the same.
        sent = await asyncio.shield(asyncio.wrap_future(sender.send(run_id, project, ids)))
        return RedirectResponse(f"/runs/{run_id}/rows?{filters.query(done=sent.words[:400])}", 303, HEADERS)

    return [Route("/runs/{run}/rows/label", send, methods=["POST"])]


def project_of(text: str) -> str:
    """The id of a project, given it or the address of one of the project's pages in Labelbox. Pure.

    Raises:
        RequestError: ``bad_project``: it is neither.
    """
    text = text.strip()
    address = _IN_ADDRESS.fullmatch(text)
    if address is not None:
        return address[1]
    if not _ID.fullmatch(text):
        raise RequestError(
            f"{text[:60]!r} is no id of a Labelbox project." if text else "No project is named.",
            code="bad_project",
            hint="The id is in the project's address in Labelbox, behind /projects/.",
        )
    return text


def _most(fields: dict[str, str]) -> int:
    text = fields.get("most", "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= BATCH_ROWS):
        raise RequestError(
            f"The number of rows is {text[:20]!r}, not one from 1 to {BATCH_ROWS:,}.",
            code="bad_form",
            hint="More than a batch holds go in parts, by other filters.",
        )
    return int(text)


def _chosen(site: Site, name: str, filters: Filters, most: int) -> tuple[str, list[str]]:
    """The run's id, and the ids of the first rows of a view."""
    run = site.runs.open(name)
    with run.rows.reading() as db:
        return run.status.run_id, [row.id for row in itertools.islice(row_query.every(db, filters), most)]
