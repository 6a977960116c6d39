"""The database of the history. The worker's program opens and closes it for each question: nothing is left open here."""

from __future__ import annotations

from typing import Any, Optional

from .eventsourcing import History


class EngineManager:
    """Stands for the connection that the library kept: what scripts do to it when they end needs nothing done."""

    @classmethod
    def create_scoped_session(cls, sqlalchemy_url: Optional[str] = None) -> str:
        """Makes the tables, where they are missing."""
        History(sqlalchemy_url).make()
        return "biomero.database:EngineManager"

    @classmethod
    def get_session(cls) -> Any:
        """There is none: ask the views of :mod:`biomero.views`, or connect with SQLAlchemy of your own."""
        raise RuntimeError("there is no SQLAlchemy session here: ask biomero.views, or make an engine of your own")

    @classmethod
    def commit(cls) -> None:
        """Each command was committed when it returned."""

    safe_commit = rollback = remove_session = close_engine = commit
