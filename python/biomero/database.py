"""The database of the history. The worker's program opens and closes it for each question: nothing is left open here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional
from uuid import UUID

from .eventsourcing import History


@dataclass
class JobView:
    """Whose a job is."""

    slurm_job_id: int
    user: Optional[int]
    group: Optional[int]
    task_id: UUID


@dataclass
class JobProgressView:
    """How far a job is."""

    slurm_job_id: int
    status: str
    progress: Optional[str] = None


@dataclass
class WorkflowProgressView:
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


@dataclass
class TaskExecution:
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
