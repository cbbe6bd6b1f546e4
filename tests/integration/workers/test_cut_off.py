"""A worker whose network is cut: its work is taken over, and when it comes back it does no harm."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.integration.killing.conftest import until

from .cable import cable
from .conftest import Yard


def test_a_worker_that_is_cut_off_is_replaced(yard: Yard) -> None:
    urls = (yard.labelbox.url, yard.config.labelbox_url, yard.config.storage_url, yard.config.vertex_url)
    ports = sorted({urlsplit(url).port or 0 for url in urls} | {yard.server.port})
    with cable(ports) as line:
        desk, other = yard.desk(), yard.worker()
        yard.name_of(other)
        far = yard.worker(
            within=("ip", "netns", "exec", line.name),
            VMI_DATABASE_URL=yard.server.url_at(line.here, yard.server.port, yard.database),
        )
        name = yard.name_of(far)
        # Each holds a group: the far one's must be taken over, however the other's goes on.
        reached = yard.hold("vertex", "batchPredictionJobs.create", times=0)
        run_id = yard.press(desk)
        reached()
        until("the far one has work", lambda: yard.busy(name, run_id))
        line.cut()
        yard.release()
        until("it is taken for dead", lambda: yard.state_of(name).state == "lost", 30)
        other.kill()  # its own requests are held for ever
        yard.workers(1)
        yard.ended(run_id, 60)
        yard.verify(run_id)
        line.mend()
        until("it begins anew under another name", lambda: yard.name_of(far) != name)
        assert "was taken for dead" in far.said()
        yard.verify(run_id)
        assert far.terminate() == 0
