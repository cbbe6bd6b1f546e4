"""What rows used at the model, measured from what it answered: tokens of Gemini, machine time of other batch jobs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vertex_model_inference.models import Predictor
from vertex_model_inference.prices import Figures
from vertex_model_inference.spec import Answer
from vertex_model_inference.steps.context import Context, read_structs
from vertex_model_inference.vertex.jobs import BatchJob

__all__ = ["together", "used"]


class _Usage(msgspec.Struct, rename="camel"):
    """``GenerateContentResponse.UsageMetadata``; absent numbers are 0."""

    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0


class _Response(msgspec.Struct, rename="camel"):
    usage_metadata: _Usage | None = None


class _JobFile(msgspec.Struct):
    job: BatchJob


_RESPONSE = msgspec.json.Decoder(_Response)
_JOB = msgspec.json.Decoder(_JobFile)


def used(context: Context, group: int, shards: Sequence[int], canary: bool = False) -> Figures | None:
    """What a group's rows used, where that can be measured.

    Args:
        context: The run.
        group: The group's number.
        shards: Its shards.
        canary: A job of so few rows is all start and end; its time tells nothing of other jobs.

    Returns:
        None: nothing was measured.

    Raises:
        StorageError: The run's own files cannot be read.
    """
    option = context.spec.option
    if option.gemini is not None:
        return _tokens(context, shards)
    if option.predictor is not Predictor.BATCH or canary:
        return None
    path = context.files.job(group, "json")
    if not context.store.exists(path):
        return None
    job = _JOB.decode(context.store.get(path)).job
    rows = _answered(context, shards)
    if job.seconds < 0 or not rows:
        return None
    return Figures(rows=rows, node_seconds=job.seconds / rows)


def together(one: Figures | None, other: Figures | None) -> Figures | None:
    """The means over the rows of both."""
    if one is None or other is None:
        return one or other
    rows = one.rows + other.rows

    def mean(a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return b if a is None else a
        return (a * one.rows + b * other.rows) / rows

    return Figures(
        rows=rows,
        input_tokens=mean(one.input_tokens, other.input_tokens),
        output_tokens=mean(one.output_tokens, other.output_tokens),
        node_seconds=mean(one.node_seconds, other.node_seconds),
    )


def _answered(context: Context, shards: Sequence[int]) -> int:
    paths = (context.files.shard("answers", shard) for shard in shards)
    return sum(sum(1 for _ in context.store.lines(path)) for path in paths if context.store.exists(path))


def _tokens(context: Context, shards: Sequence[int]) -> Figures | None:
    rows = into = out = 0
    for shard in shards:
        path = context.files.shard("answers", shard)
        if not context.store.exists(path):
            continue
        for answer in read_structs(context, path, Answer):
            usage = _RESPONSE.decode(answer.prediction).usage_metadata
            if usage is None:
                continue
            rows += 1
            into += usage.prompt_token_count
            out += usage.candidates_token_count + usage.thoughts_token_count
    if not rows:
        return None
    return Figures(rows=rows, input_tokens=into / rows, output_tokens=out / rows)
