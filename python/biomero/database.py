"""The database of the history. The worker's program opens and closes it for each question: nothing is left open here."""

from __future__ import annotations

from .eventsourcing import History
from .later import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, Optional
    from uuid import UUID


class _Row:
    """A row of a view, made from its columns by name. No dataclass: that module takes longer to import than this package."""

    def __init__(self, **columns: Any) -> None:
        unknown = columns.keys() - type(self).__annotations__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no column {', '.join(sorted(unknown))}")
        vars(self).update(columns)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({columns})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)


class JobView(_Row):
    """Whose a job is."""

    slurm_job_id: int
    user: Optional[int]
    group: Optional[int]
    task_id: UUID


class JobProgressView(_Row):
    """How far a job is."""

    slurm_job_id: int
    status: str
    progress: Optional[str] = None


class WorkflowProgressView(_Row):
    """How far a workflow run is."""

    workflow_id: UUID
    status: Optional[str]
    progress: Optional[str]
    user: Optional[int]
    group: Optional[int]
    name: Optional[str]
    task: Optional[str]
    main_task_name: Optional[str]
    start_time: datetime


class TaskExecution(_Row):
    """When a task ran, and how it failed."""

    task_id: UUID
    task_name: str
    task_version: Optional[str]
    user_id: Optional[int]
    group_id: Optional[int]
    status: Optional[str]
    start_time: datetime
    end_time: Optional[datetime] = None
    error_type: Optional[str] = None


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
