"""Times of a video and its frames, and the key frames of tracks."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertex_model_inference.geometry.timeline import Timeline
from vertex_model_inference.geometry.tracks import Edges, key_frames

calmly = settings(deadline=None, max_examples=200)
rates = st.sampled_from((23.976, 24000 / 1001, 25.0, 29.97, 30000 / 1001, 30.0, 50.0, 59.94, 119.88)) | st.floats(
    1, 240
)
counts = st.integers(1, 500_000)


@st.composite
def constant(draw: st.DrawFn) -> Timeline:
    return Timeline(draw(rates), draw(counts))


@st.composite
def variable(draw: st.DrawFn) -> Timeline:
    """Gaps of 4 ms to 2 s, as phones and screen recorders leave them."""
    gaps = draw(st.lists(st.integers(4, 2000), min_size=1, max_size=60))
    return Timeline(times=tuple(ms / 1000 for ms in accumulate(gaps, initial=0)))


timelines = constant() | variable()


@calmly
@given(timeline=timelines, data=st.data(), digits=st.sampled_from((9, 6, 4)))
def test_a_frames_time_finds_the_frame_again_however_it_is_rounded(
    timeline: Timeline, data: st.DataObject, digits: int
) -> None:
    assert timeline.count is not None
    frame = data.draw(st.integers(1, timeline.count))
    seconds = round(timeline.time_of(frame), digits)
    assert timeline.frame_at(seconds) == frame
    # A time of a frame and one of a later frame bound the frames from the one to just before the other.
    last = data.draw(st.integers(frame, timeline.count))
    end = timeline.time_of(last + 1) if last < timeline.count else (timeline.duration or 0)
    assert timeline.frames_between(seconds, round(end, digits)) == (frame, last)


@calmly
@given(timeline=timelines, data=st.data())
def test_nearest_is_nearest(timeline: Timeline, data: st.DataObject) -> None:
    assert timeline.duration is not None
    seconds = data.draw(st.floats(0, timeline.duration))
    found = timeline.frame_at(seconds)
    off = abs(timeline.time_of(found) - seconds)
    for other in (found - 1, found + 1):
        if 1 <= other <= (timeline.count or 0):
            assert off <= abs(timeline.time_of(other) - seconds) + 1e-9


@calmly
@given(timeline=timelines, data=st.data())
def test_stretches_that_follow_each_other_share_no_frame_and_leave_none_out(
    timeline: Timeline, data: st.DataObject
) -> None:
    assert timeline.duration is not None
    assert timeline.count is not None
    # Each longer than a frame: of a shorter one the nearest frame is taken, whoever else has it.
    longest = 2.01 if timeline.count <= 61 else 2.01 / timeline.rate
    cuts = [0.0]
    for cut in sorted(data.draw(st.lists(st.floats(0, timeline.duration), max_size=8))):
        if cut > cuts[-1] + longest and cut + longest < timeline.duration:
            cuts.append(cut)
    beyond = 1
    for start, end in pairwise([*cuts, timeline.duration + 1]):
        first, last = timeline.frames_between(start, end)
        assert first == beyond
        assert last >= first
        beyond = last + 1
    assert beyond == timeline.count + 1


@calmly
@given(timeline=timelines, data=st.data())
def test_a_stretch_shorter_than_a_frame_is_the_frame_nearest_to_it(timeline: Timeline, data: st.DataObject) -> None:
    seconds = data.draw(st.floats(0, timeline.duration or 0))
    assert timeline.frames_between(seconds, seconds) == (timeline.frame_at(seconds),) * 2


def test_seconds_of_ntsc_video() -> None:
    timeline = Timeline(30000 / 1001, 120)
    assert [timeline.frames_between(second, second + 1) for second in range(4)] == [
        (1, 30),
        (31, 60),
        (61, 90),
        (91, 120),
    ]
    assert timeline.frame_at(1.2012) == 37
    assert timeline.frame_at(99) == 120
    assert Timeline(30000 / 1001).frame_at(99) == 2968


def test_real_time_stamps_are_not_what_the_mean_rate_says() -> None:
    times = (0.0, 0.033, 0.066, 1.5, 2.9, 2.933)
    timeline = Timeline(25, 6, times)
    assert [timeline.frame_at(time) for time in times] == [1, 2, 3, 4, 5, 6]
    assert Timeline(timeline.rate, 6).frame_at(1.5) == 4
    assert Timeline(timeline.rate, 6).frame_at(0.066) == 1
    assert timeline.frames_between(0.05, 2.9) == (3, 4)


@pytest.mark.parametrize(
    ("rate", "count", "times"), [(None, 5, ()), (0, 5, ()), (float("nan"), 5, ()), (25, 0, ()), (25, 3, (0, 1, 1))]
)
def test_what_is_no_timeline(rate: float | None, count: int, times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"rate|frame"):
        Timeline(rate, count, times)


edges = st.tuples(*[st.floats(0, 4000)] * 4)


@calmly
@given(data=st.data(), tolerance=st.sampled_from((0.0, 0.1, 1.0, 25.0)))
def test_no_given_frame_is_off_by_more_than_the_tolerance(data: st.DataObject, tolerance: float) -> None:
    frames = sorted(data.draw(st.sets(st.integers(1, 5000), min_size=1, max_size=40)))
    boxes: list[Edges] = [data.draw(edges) for _ in frames]
    kept = key_frames(frames, boxes, tolerance)
    assert kept[0] == 0
    assert kept[-1] == len(frames) - 1
    assert list(kept) == sorted(set(kept))
    for one, other in pairwise(kept):
        for index in range(one, other + 1):
            share = (frames[index] - frames[one]) / (frames[other] - frames[one])
            between = [a + share * (b - a) for a, b in zip(boxes[one], boxes[other], strict=True)]
            assert max(abs(a - b) for a, b in zip(between, boxes[index], strict=True)) <= tolerance + 1e-4


@calmly
@given(start=edges, step=st.tuples(*[st.floats(-5, 5)] * 4), count=st.integers(2, 50))
def test_an_even_movement_needs_two_frames(start: Edges, step: Edges, count: int) -> None:
    boxes = [tuple(a + n * b for a, b in zip(start, step, strict=True)) for n in range(count)]
    assert key_frames(range(1, count + 1), boxes, 0.001) == (0, count - 1)  # type: ignore[arg-type]
