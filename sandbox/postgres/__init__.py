"""A private PostgreSQL 16 with pgvector, pgcrypto and citext, run from the project folder.

``python -m sandbox.postgres start|stop|status|url``. Standard library only: it must work before
anything else is installed.
"""

from __future__ import annotations

from sandbox.postgres.server import EmbeddedPostgres, PostgresError

__all__ = ["EmbeddedPostgres", "PostgresError"]
