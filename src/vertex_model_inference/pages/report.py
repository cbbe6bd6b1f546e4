"""``vmi report``: a run in one file that can be mailed: figures, curves, failures, the most telling rows, settings.

The file asks nobody for anything: style, script and pictures are in it, and a policy in its head forbids the rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup

from vertex_model_inference import __version__
from vertex_model_inference.errors import NotFoundError
from vertex_model_inference.evaluation.gates import Gate, GateResult, check_gates
from vertex_model_inference.evaluation.scores import Evaluation
from vertex_model_inference.outcomes import Counts
from vertex_model_inference.pages import charts
from vertex_model_inference.pages.asset_source import AssetSource
from vertex_model_inference.pages.evaluation_page import panel_values
from vertex_model_inference.pages.evaluation_view import Part, View, view
from vertex_model_inference.pages.exhibits import exhibits_of
from vertex_model_inference.pages.panels import ALL_CLASSES, thinned
from vertex_model_inference.pages.rendering import HERE, Renderer
from vertex_model_inference.pages.telling import causes_of, telling_rows
from vertex_model_inference.runs.progress import read_status
from vertex_model_inference.runs.status import RunStatus
from vertex_model_inference.settings import Settings
from vertex_model_inference.spec import ARTIFACTS_VERSION, Files, RunSpec
from vertex_model_inference.steps.evaluate import evaluate, has_labels, stored
from vertex_model_inference.storage.store import Store

__all__ = ["Report", "make_report"]

_SPEC = msgspec.json.Decoder(RunSpec)
_PICTURE_BYTES = 1_500_000
"""Of all pictures; a third more as text."""
_MOST_PARTS = 8
_MOST_CLASSES = 40
_MOST_CURVES = 6
_CURVE_POINTS = 60
_STYLES = ("style.css", "overlay.css", "evaluation.css", "report.css")
_SIGNED = re.compile(r"(https?://|gs://)([^\s/@?#\"']*@)?([^\s?#\"']*)(\?[^\s\"']*)?")
_SECRET_KEY = re.compile(r"(?i)(api[_-]?key|token|secret|password|authorization|credential)")
_LEAST_SECRET = 8


class Report(NamedTuple):
    """The file's content, and what came of the figures that were to be reached."""

    html: str
    gates: tuple[GateResult, ...]


def make_report(
    store: Store,
    files: Files,
    settings: Settings,
    *,
    split: str | None = None,
    gates: tuple[Gate, ...] = (),
    rows: int = 6,
    source: AssetSource | None = None,
) -> Report:
    """The report of a run.

    Args:
        store: Where the run is. ``files``: its files.
        settings: To read assets and masks of labels with; none of their secrets comes into the file.
        split: Rows to measure; None: as ``evaluation_view.view`` chooses.
        gates: Figures to reach.
        rows: Most telling rows of each kind; 0: none.
        source: Where assets are read from; made of the settings when None.

    Raises:
        NotFoundError: There is no run there, or it has no rows of that split.
        StorageError: The run's files cannot be read.
    """
    status, spec = _read(store, files)
    found = stored(store, files)
    if (found is None and status.state.ended and has_labels(store, files)) or (found is not None and _older(found)):
        found = evaluate(store, files, settings)
    shown = None
    if found is not None and found.splits[0].rows.judged:
        shown = view(found, split)
    if shown is None and found is not None and split is not None and found.split(split) is None:
        known = ", ".join(one.split for one in found.splits)
        raise NotFoundError(f"The run has no rows of the split {split!r}.", hint=f"It has: {known}.")
    results = _gates(found, shown, gates)
    causes, rare = causes_of(store, files)
    among = None if shown is None or shown.split == "all" else shown.split
    telling = telling_rows(store, files, rows, among) if rows else ()
    style = Markup("\n").join(Markup((HERE / "static" / name).read_text()) for name in _STYLES)  # noqa: S704  # ours
    script = Markup((HERE / "static" / "evaluation.js").read_text())  # noqa: S704  # ours
    html = Renderer().text(
        "report.html",
        policy=_policy(str(style), str(script)),
        style=style,
        script=script,
        status=status,
        spec=spec,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        parts_of=_outcomes(status.counts),
        outcomes=charts.stacked(_outcomes(status.counts), "How the rows ended"),
        share=charts.share,
        causes=causes,
        rare=rare,
        found=shown,
        sections=[] if shown is None else [_section(part) for part in shown.parts[:_MOST_PARTS]],
        more_parts=0 if shown is None else max(0, len(shown.parts) - _MOST_PARTS),
        unmeasured=_unmeasured(status, found),
        groups=exhibits_of(store, files, telling, source or AssetSource(settings, store), _PICTURE_BYTES),
        gates=results,
        options=_options(spec),
        versions=_versions(found),
    )
    return Report(without_secrets(html, settings), results)


def without_secrets(text: str, settings: Settings) -> str:
    """The text with every secret of the settings masked: they have no business in it, wherever they might come from."""
    for name in type(settings).model_fields:
        secret = getattr(getattr(settings, name), "get_secret_value", None)
        value = secret() if secret is not None else ""
        if len(value) >= _LEAST_SECRET:
            text = text.replace(value, "********")
    return text


def _read(store: Store, files: Files) -> tuple[RunStatus, RunSpec]:
    none = NotFoundError(
        f"{store.uri(files.folder)} holds no run that can be reported on: it has no status.json and spec.json.",
        hint="`vmi status` lists the runs.",
    )
    try:
        status = read_status(store, files.folder.rsplit("/", 1)[-1], files)
        if status is None:
            raise none
        return status, _SPEC.decode(store.get(files.spec))
    except NotFoundError:
        raise none from None
    except msgspec.MsgspecError as error:
        raise NotFoundError(
            f"{store.uri(files.folder)} holds a run of another release, which cannot be read: {error}.",
            hint="Report on it with the release that made it.",
        ) from None


def _older(found: Evaluation) -> bool:
    """Whether its curves do not say how many predictions are kept, as those of an earlier release."""
    whole = found.splits[0]
    classes = [one for choice in whole.choices for one in choice.classes]
    classes += [one for objects in whole.objects for one in objects.classes]
    return any(one.curve.threshold and not one.curve.said for one in classes)


def _gates(found: Evaluation | None, shown: View | None, gates: tuple[Gate, ...]) -> tuple[GateResult, ...]:
    measured = None if found is None or shown is None else found.split(shown.split)
    if measured is None:
        return tuple(GateResult(gate, gate.feature or "anything measured", None) for gate in gates)
    return check_gates(gates, measured)


def _policy(style: str, script: str) -> str:
    """Nothing from anywhere but what is in the file."""
    styles, scripts = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{styles}'; script-src 'sha256-{scripts}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _outcomes(counts: Counts) -> tuple[charts.Part, ...]:
    known = (
        charts.Part("predicted", counts.predicted, "predicted"),
        charts.Part("empty", counts.empty, "empty"),
        charts.Part("skipped", counts.skipped, "skipped"),
        charts.Part("failed", counts.failed, "failed"),
    )
    open_ = counts.exported - counts.ended
    return (*known, charts.Part("not ended", open_, "rest")) if open_ > 0 else known


def _section(part: Part) -> dict[str, Any]:
    """A question or kind of object: all classes with a slider, and the curves of the most frequent classes."""
    values: dict[str, Any] = {"part": part, "classes": part.classes[:_MOST_CLASSES], "panel": None, "curves": []}
    values |= panel_values(part, ALL_CLASSES)
    if part.calibration is not None:
        values["calibration_chart"] = charts.reliability(part.calibration, part.title)
    if len(part.classes) > 1:
        values["curves"] = [
            charts.by_confidence(
                thinned(one.curve, _CURVE_POINTS), one.name, None if one.best is None else one.best.threshold
            )
            for one in part.classes[:_MOST_CURVES]
            if len(one.curve.threshold) > 1
        ]
        values["curve_names"] = [one.name for one in part.classes[:_MOST_CURVES] if len(one.curve.threshold) > 1]
    return values


def _unmeasured(status: RunStatus, found: Evaluation | None) -> str:
    if found is not None and found.splits[0].rows.labelled:
        return "No labelled row was answered by the model, so there is nothing to measure."
    if not status.state.ended:
        return "The run is not at its end yet; predictions are measured when the last of them is there."
    return "No row of this run is labelled, so there is nothing to measure the predictions by."


def _options(spec: RunSpec) -> tuple[tuple[str, str], ...]:
    """What the run was asked to do: dotted names and values; what could be a secret is masked."""
    plain: Any = msgspec.to_builtins(spec)
    return tuple(_flat(plain, ""))


def _flat(value: Any, name: str) -> Sequence[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [each for key, inner in value.items() for each in _flat(inner, f"{name}.{key}" if name else str(key))]
    if _SECRET_KEY.search(name):
        return [(name, "********")]
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [(name, _SIGNED.sub(_bare, words))]


def _bare(found: re.Match[str]) -> str:
    """An address without user, password and query: these may let in."""
    scheme, user, rest, query = found.groups()
    return f"{scheme}{'********@' if user else ''}{rest}{'?********' if query else ''}"


def _versions(found: Evaluation | None) -> tuple[tuple[str, str], ...]:
    known = [
        ("vertex-model-inference", __version__),
        ("Python", platform.python_version()),
        ("form of the run's files", str(ARTIFACTS_VERSION)),
    ]
    if found is not None:
        known += [
            ("form of the evaluation", str(found.version)),
            ("IoU from which objects are found", f"{found.iou:g}"),
            ("distance within which points and lines are found", f"{found.distance_px:g} px"),
        ]
    return tuple(known)
