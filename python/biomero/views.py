"""Whose each job is, how far things are: questions about the history, under the names of Python's listeners."""

from __future__ import annotations

from . import worker
from .database import JobProgressView, JobView, TaskExecution, WorkflowProgressView
from .eventsourcing import History, NotificationLog
from .later import TYPE_CHECKING, datetime, uuid

if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple
    from uuid import UUID

# Events that are read at a time.
_SECTION = 5000


class _Recorder:
    def __init__(self, history: History, table: str) -> None:
        self._history, self._table = history, table

    def max_tracking_id(self, application_name: str = "WorkflowTracker") -> int:
        """How far this view is: the place of the last event that is in it."""
        for listener in self._history.ask("stats", "--json")[0]["listeners"]:
            if listener["table"] == self._table:
                return listener["notification_id"] or 0
        return 0

    def max_notification_id(self) -> int:
        """The place of the last event."""
        return self._history.ask("stats", "--json")[0]["last_id"] or 0


class _View:
    _table = ""

    def __init__(self, history: Optional[History] = None) -> None:
        self.history = history or History()
        self.notification_log = NotificationLog(self.history)
        self.recorder = _Recorder(self.history, self._table)

    def pull_and_process(self, leader_name: str = "", start: Optional[int] = None, **_: Any) -> None:
        """Brings the views up to date with the log."""
        self.history.make()

    def _events(self, *topics: str) -> Iterator[Dict[str, Any]]:
        chosen = [word for topic in topics for word in ("--topic", topic)]
        start = 1
        while True:
            told = self.history.ask("select", "--json", "--start", str(start), "--limit", str(_SECTION), *chosen)
            yield from told
            if len(told) < _SECTION:
                return
            start = told[-1]["id"] + 1

    def _tasks(self) -> Dict[UUID, TaskExecution]:
        owners: Dict[UUID, Tuple[int, int]] = {}
        tasks: Dict[UUID, TaskExecution] = {}
        for event in self._events("WorkflowInitiated", "TaskCreated", "TaskCompleted", "TaskFailed", "StatusUpdated"):
            state, of, topic = event["state"], uuid.UUID(event["originator_id"]), event["topic"].rpartition(".")[2]
            when = datetime.datetime.fromisoformat(state["timestamp"]["_data_"].replace("Z", "+00:00"))
            if topic == "WorkflowInitiated":
                owners[of] = (state["user"], state["group"])
            elif topic == "TaskCreated":
                user, group = owners.get(uuid.UUID(state["workflow_id"]["_data_"]), (None, None))
                tasks[of] = TaskExecution(
                    task_id=of,
                    task_name=state["task_name"],
                    task_version=state["task_version"],
                    user_id=user,
                    group_id=group,
                    status="CREATED",
                    start_time=when,
                )
            elif of not in tasks:
                continue
            elif topic == "StatusUpdated":
                tasks[of].status = state["status"]
            else:
                tasks[of].end_time, tasks[of].error_type = when, state.get("error_message")
        return tasks

    def _chosen(self, user: Optional[int], group: Optional[int]) -> Iterator[TaskExecution]:
        for task in self._tasks().values():
            if user in (None, task.user_id) and group in (None, task.group_id):
                yield task


class JobAccounting(_View):
    """Whose each job is."""

    _table = "jobaccounting_tracking"

    def rows(self) -> List[JobView]:
        """Every job, in the order of their submission."""
        tasks, rows = self._tasks(), []
        for event in self._events("JobIdAdded"):
            task = tasks.get(uuid.UUID(event["originator_id"]))
            if task is not None:
                rows.append(
                    JobView(
                        slurm_job_id=int(event["state"]["job_id"]),
                        user=task.user_id,
                        group=task.group_id,
                        task_id=task.task_id,
                    )
                )
        return rows

    def get_jobs(self, user: Optional[int] = None, group: Optional[int] = None) -> Dict[int, List[int]]:
        """The jobs of each user."""
        jobs: Dict[int, List[int]] = {}
        for row in self.rows():
            if row.user is not None and user in (None, row.user) and group in (None, row.group):
                jobs.setdefault(row.user, []).append(row.slurm_job_id)
        return jobs

    def get_task_id(self, job_id: int) -> Optional[UUID]:
        """The task that submitted a job."""
        served = worker.fetch(f"/v1/jobs/{int(job_id)}") if not self.history._environment else None
        if served is not None:
            return uuid.UUID(served["task_id"]) if served["task_id"] else None
        found = None
        for event in self._events("JobIdAdded"):
            if int(event["state"]["job_id"]) == int(job_id):
                found = uuid.UUID(event["originator_id"])
        return found


class JobProgress(_View):
    """How far each job is."""

    _table = "jobprogress_tracking"

    def rows(self) -> List[JobProgressView]:
        """Every job of which a state is known."""
        jobs: Dict[str, int] = {}
        rows: Dict[int, JobProgressView] = {}
        for event in self._events("JobIdAdded", "StatusUpdated", "ProgressUpdated"):
            state, of, topic = event["state"], event["originator_id"], event["topic"].rpartition(".")[2]
            if topic == "JobIdAdded":
                jobs[of] = int(state["job_id"])
            elif of in jobs:
                row = rows.setdefault(jobs[of], JobProgressView(slurm_job_id=jobs[of], status="UNKNOWN"))
                if topic == "StatusUpdated":
                    row.status = state["status"]
                else:
                    row.progress = state["progress"]
        return list(rows.values())


class WorkflowProgress(_View):
    """How far each workflow run is."""

    _table = "workflowprogress_tracking"

    def rows(self) -> List[WorkflowProgressView]:
        """The latest thousand workflow runs, newest first."""
        rows = []
        for told in self.history.ask("list", "--json", "--limit", "1000"):
            told["workflow_id"] = uuid.UUID(told["workflow_id"])
            told["start_time"] = datetime.datetime.fromisoformat(told["start_time"])
            rows.append(WorkflowProgressView(**told))
        return rows


class WorkflowAnalytics(_View):
    """How often tasks run, how long they take, how they fail."""

    _table = "workflowanalytics_tracking"

    def rows(self) -> List[TaskExecution]:
        """Every task."""
        return list(self._tasks().values())

    def get_task_counts(self, user: Optional[int] = None, group: Optional[int] = None) -> Dict[Tuple[str, Optional[str]], int]:
        """How often each task of each version has run."""
        counts: Dict[Tuple[str, Optional[str]], int] = {}
        for task in self._chosen(user, group):
            key = (task.task_name, task.task_version)
            counts[key] = counts.get(key, 0) + 1
        return counts

    def get_average_task_duration(
        self, user: Optional[int] = None, group: Optional[int] = None
    ) -> Dict[Tuple[str, Optional[str]], float]:
        """The mean seconds of those that have ended."""
        taken: Dict[Tuple[str, Optional[str]], List[float]] = {}
        for task in self._chosen(user, group):
            if task.end_time is not None:
                seconds = (task.end_time - task.start_time).total_seconds()
                taken.setdefault((task.task_name, task.task_version), []).append(seconds)
        return {key: sum(all_of) / len(all_of) for key, all_of in taken.items()}

    def get_task_failures(
        self, user: Optional[int] = None, group: Optional[int] = None
    ) -> Dict[Tuple[str, Optional[str]], List[str]]:
        """What those that failed have said."""
        failures: Dict[Tuple[str, Optional[str]], List[str]] = {}
        for task in self._chosen(user, group):
            if task.error_type is not None:
                failures.setdefault((task.task_name, task.task_version), []).append(task.error_type)
        return failures

    def get_task_usage_over_time(
        self, task_name: str, user: Optional[int] = None, group: Optional[int] = None
    ) -> Dict[Any, int]:
        """How often a task was run on each day."""
        days: Dict[Any, int] = {}
        for task in self._chosen(user, group):
            if task.task_name == task_name:
                day = task.start_time.date()
                days[day] = days.get(day, 0) + 1
        return dict(sorted(days.items()))
