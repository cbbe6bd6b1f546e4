"""Addresses of the pages about a run, in one place. Pure."""

from __future__ import annotations

from urllib.parse import quote, urlencode

__all__ = ["Links"]


class Links:
    """Of one run.

    Args:
        run: Its id.
    """

    def __init__(self, run: str) -> None:
        self._root = f"/runs/{quote(run, safe='')}"

    def run(self) -> str:
        """The run's page."""
        return self._root

    def report(self, **query: str) -> str:
        """The report, to download."""
        return _with(f"{self._root}/report.html", query)

    def evaluation(self, **query: str) -> str:
        """The evaluation's page: ``split``, ``feature`` with ``kind``, ``class``, ``classes=all``."""
        return _with(f"{self._root}/evaluation", query)

    def rows(self, **query: str) -> str:
        """The gallery of rows, by its own filters."""
        return _with(f"{self._root}/rows", query)

    def row(self, data_row_id: str) -> str:
        """One data row."""
        return f"{self._root}/rows/{quote(data_row_id, safe='')}"

    def confused(self, feature: str, truth: str | None, said: str | None, split: str) -> str:
        """Rows in which a label of class ``truth`` met a prediction of class ``said``; None: nothing there."""
        shared = {"feature": feature, "split": "" if split == "all" else split}
        if truth is None:
            return self.rows(**shared, **{"class": said or "", "agreement": "extra"})
        if said is None or said == truth:
            return self.rows(**shared, **{"class": truth, "agreement": "missed" if said is None else "right"})
        return self.rows(**shared, **{"class": truth, "as": said})

    def labelled(self, feature: str, name: str, split: str) -> str:
        """Rows in which a class is labelled."""
        return self.rows(feature=feature, **{"class": name}, split="" if split == "all" else split)


def _with(path: str, query: dict[str, str]) -> str:
    kept = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path
