"""What an operator can do from a page: stop a run, and try rows again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vertex_model_inference.runs.again import Asker, retry_run
from vertex_model_inference.runs.cancel import cancel_run
from vertex_model_inference.runs.surroundings import open_artifacts
from vertex_model_inference.settings import Settings

__all__ = ["Actions", "RunActions"]


class Actions(Protocol):
    """What can be done; pages that only show have none of it."""

    def cancel(self, run: str, *, by: str) -> str:
        """Stop a run; what was done, in words.

        Raises:
            VmiError: It cannot be stopped.
        """

    def retry(self, run: str, *, only: str = "failed", names: Sequence[str] | None = None) -> str:
        """Begin a run that does failed rows again, or named ones; its id.

        Args:
            run: That has ended.
            only: ``failed`` or ``retryable``.
            names: Data row ids; then ``only`` does not count.

        Raises:
            VmiError: It cannot be begun.
        """


class RunActions:
    """With the engine of this server.

    Args:
        settings: What is in force.
        asker: Starts runs.
    """

    def __init__(self, settings: Settings, asker: Asker) -> None:
        self._settings = settings
        self._asker = asker
        self._store = open_artifacts(settings)

    def cancel(self, run: str, *, by: str) -> str:
        """See ``Actions``."""
        return cancel_run(self._settings, run, by=f"{by}, on the pages", store=self._store).words

    def retry(self, run: str, *, only: str = "failed", names: Sequence[str] | None = None) -> str:
        """See ``Actions``."""
        return retry_run(self._asker, self._store, run, only=only, names=names).run_id
