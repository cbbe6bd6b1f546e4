"""What the engine tells of a Postgres database that it cannot use: never the password."""

from __future__ import annotations

import socket

import pytest
import sqlalchemy
from pydantic import SecretStr

from vertex_model_inference.errors import DatabaseError, SettingsError
from vertex_model_inference.models import ModelOption, Predictor
from vertex_model_inference.runs.desk import RunDesk
from vertex_model_inference.runs.leases import Lease
from vertex_model_inference.runs.postgres import postgres_engine, unavailable
from vertex_model_inference.runs.service import RunService
from vertex_model_inference.runs.workers import read_workers
from vertex_model_inference.settings import Settings

SECRET = "pa55-w0rd"


@pytest.fixture
def url() -> str:
    """Of a server that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"postgresql://vmi:{SECRET}@127.0.0.1:{port}/vmi"


def test_a_server_that_is_away_is_an_error_that_may_pass(url: str) -> None:
    settings = Settings(database_url=url, bucket="bucket", labelbox_api_key=SecretStr("key"))
    lease = Lease(url, "worker", lease_s=5, lost=lambda: None)
    for ask in (lease.take, lambda: RunDesk(settings), lambda: read_workers(settings)):
        with pytest.raises(DatabaseError) as caught:
            ask()
        assert caught.value.retryable
        assert "127.0.0.1" in str(caught.value)
        assert SECRET not in f"{caught.value}{caught.value!r}{caught.value.__context__!r}"
    lease.leave()


@pytest.mark.parametrize(
    ("said", "hint", "retryable"),
    [
        ('FATAL:  database "vmi" does not exist', "createdb", False),
        (f'FATAL:  password authentication failed for user "vmi" ({SECRET})', "Correct the user", False),
        ("permission denied for database vmi", "CREATE on the database", False),
        ("FATAL:  the database system is starting up", "Nothing is lost", True),
    ],
)
def test_what_to_do_is_said(said: str, hint: str, retryable: bool, url: str) -> None:
    error = unavailable(sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception(said)), url)
    assert hint in str(error)
    assert error.retryable is retryable
    assert SECRET not in str(error)


def test_what_the_url_says_goes_before(url: str) -> None:
    engine = postgres_engine(f"{url}?connect_timeout=33", "test", lease_s=10)
    arguments = engine.dialect.create_connect_args(engine.url)[1]
    assert arguments["connect_timeout"] == "33"
    assert SECRET not in repr(engine)
    engine.dispose()


def test_a_url_that_is_none_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        postgres_engine(f"postgresql://vmi:{SECRET}@host:port/vmi", "test", lease_s=10)
    assert SECRET not in str(caught.value)


def test_workers_are_on_postgres_only() -> None:
    with pytest.raises(SettingsError, match="SQLite"):
        read_workers(Settings())


def test_several_machines_need_a_bucket(url: str) -> None:
    with pytest.raises(SettingsError, match="VMI_BUCKET"):
        RunService(Settings(database_url=url, labelbox_api_key=SecretStr("key")), role="worker").start()


def test_the_number_of_groups_at_once_is_frozen_in_the_run() -> None:
    from vertex_model_inference.runs.asking import spec_of

    option = ModelOption(name="m", predictor=Predictor.ONLINE, task=None)
    assert spec_of(Settings(run_groups=9), "r-0", "r", option).run_groups == 9
