"""The engine's database on Postgres: connections that notice when the other side is gone.

A machine that is cut off sends no goodbye. Without the limits below either side would wait for the other for hours: a
worker in a query that nobody answers, the server with the locks of a client that no longer exists.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vertex_model_inference.errors import DatabaseError

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

__all__ = ["postgres_engine", "unavailable"]


def postgres_engine(
    url: str, purpose: str, *, lease_s: float, pool: int = 5, statement_s: float | None = None
) -> sqlalchemy.Engine:
    """Connections to a Postgres database; none is opened yet.

    Within half a lease both sides give up a connection whose other end does not answer, and the server ends a
    transaction that its client forgot: a worker that was frozen in the middle of one must not keep the others from the
    queue. What the URL itself says (``?connect_timeout=...``) goes before.

    Args:
        url: ``postgresql://[user[:password]@]host[:port]/database``.
        purpose: Shown by ``pg_stat_activity`` as the application's name.
        lease_s: ``Settings.lease_s``, seconds.
        pool: Connections that stay open; twice as many more come and go.
        statement_s: No statement may take longer, seconds; None: no limit.

    Raises:
        SettingsError: Not a URL.
    """
    import sqlalchemy

    parsed = _parsed(url)
    patience = max(2, math.ceil(lease_s / 2))
    quiet = max(1, math.ceil(lease_s / 5))
    arguments: dict[str, Any] = {
        "application_name": f"vmi {purpose}"[:63],
        "connect_timeout": patience,
        "keepalives_idle": quiet,
        "keepalives_interval": quiet,
        "keepalives_count": 2,
        "tcp_user_timeout": patience * 1000,
    }
    session = {
        "idle_in_transaction_session_timeout": patience * 1000,
        "tcp_keepalives_idle": quiet,
        "tcp_keepalives_interval": quiet,
        "tcp_keepalives_count": 2,
        "tcp_user_timeout": patience * 1000,
    }
    if statement_s is not None:
        session["statement_timeout"] = math.ceil(statement_s * 1000)
    engine = sqlalchemy.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        connect_args={name: value for name, value in arguments.items() if name not in parsed.query},
        pool_size=pool,
        max_overflow=2 * pool,
        pool_pre_ping=True,
        hide_parameters=True,
    )

    @sqlalchemy.event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: Any) -> None:
        # Not as start-up options: poolers such as PgBouncer refuse those that they do not know.
        with connection.cursor() as cursor:
            for name, value in session.items():
                cursor.execute(f"SET {name} = {int(value)}")
        connection.commit()

    return engine


def _parsed(url: str) -> sqlalchemy.URL:
    import sqlalchemy

    from vertex_model_inference.errors import SettingsError

    try:
        return sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise SettingsError(
            "VMI_DATABASE_URL is not a URL.",  # which may hold a password
            hint="Write postgresql://user:password@host:5432/database; special characters in the password as %XX.",
        ) from None


def unavailable(error: SQLAlchemyError, url: str) -> DatabaseError:
    """What a failed connection or query is told as: never with the URL's user or password.

    Args:
        error: What SQLAlchemy raised.
        url: Of the database.
    """
    import sqlalchemy

    parsed = sqlalchemy.make_url(url)
    place = f"{parsed.host or 'the local socket'}:{parsed.port or 5432}/{parsed.database or ''}"
    words = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())
    missing = "does not exist" in words
    refused = "authentication failed" in words or "permission denied" in words
    if parsed.password:
        words = words.replace(str(parsed.password), "********")
    hint = "Is the server running, and can this machine reach it? Nothing is lost: work goes on when it is back."
    if missing:
        hint = "Make the database (`createdb`), or correct VMI_DATABASE_URL."
    elif refused:
        hint = "Correct the user and password in VMI_DATABASE_URL; the role needs CREATE on the database."
    return DatabaseError(
        f"The engine's database at {place} cannot be used: {words[:300]}", hint=hint, retryable=not (missing or refused)
    )
