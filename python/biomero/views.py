"""Whose each job is, how far things are: questions about the history, under the names of Python's listeners."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, Iterator, List, Optional, Tuple
from uuid import UUID

from . import worker
from .eventsourcing import History, NotificationLog

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

    def _tasks(self) -> Dict[str, Dict[str, Any]]:
        """Each task with its name, version, user and group, when it began and ended, how it failed."""
        owners: Dict[str, Tuple[int, int]] = {}
        tasks: Dict[str, Dict[str, Any]] = {}
        for event in self._events("WorkflowInitiated", "TaskCreated", "TaskCompleted", "TaskFailed"):
            state, of = event["state"], event["originator_id"]
            when = datetime.fromisoformat(state["timestamp"]["_data_"].replace("Z", "+00:00"))
            if event["topic"].endswith(".WorkflowInitiated"):
                owners[of] = (state["user"], state["group"])
            elif event["topic"].endswith(".TaskCreated"):
                user, group = owners.get(str(UUID(state["workflow_id"]["_data_"])), (None, None))
                named = {"name": state["task_name"], "version": state["task_version"], "start": when}
                tasks[of] = {**named, "user": user, "group": group, "end": None, "error": None}
            elif of in tasks:
                tasks[of].update(end=when, error=state.get("error_message"))
        return tasks

    def _chosen(self, user: Optional[int], group: Optional[int]) -> Iterator[Dict[str, Any]]:
        for task in self._tasks().values():
            if (user is None or task["user"] == user) and (group is None or task["group"] == group):
                yield task


class JobAccounting(_View):
    """Whose each job is."""

    _table = "jobaccounting_tracking"

    def get_jobs(self, user: Optional[int] = None, group: Optional[int] = None) -> Dict[int, List[int]]:
        """The jobs of each user."""
        tasks = self._tasks()
        jobs: Dict[int, List[int]] = {}
        for event in self._events("JobIdAdded"):
            task = tasks.get(event["originator_id"])
            if task and task["user"] is not None and user in (None, task["user"]) and group in (None, task["group"]):
                jobs.setdefault(task["user"], []).append(int(event["state"]["job_id"]))
        return jobs

    def get_task_id(self, job_id: int) -> Optional[UUID]:
        """The task that submitted a job."""
        served = worker.fetch(f"/v1/jobs/{int(job_id)}") if not self.history._environment else None
        if served is not None:
            return UUID(served["task_id"]) if served["task_id"] else None
        found = None
        for event in self._events("JobIdAdded"):
            if int(event["state"]["job_id"]) == int(job_id):
                found = UUID(event["originator_id"])
        return found


class JobProgress(_View):
    """How far each job is."""

    _table = "jobprogress_tracking"


class WorkflowProgress(_View):
    """How far each workflow run is."""

    _table = "workflowprogress_tracking"


class WorkflowAnalytics(_View):
    """How often tasks run, how long they take, how they fail."""

    _table = "workflowanalytics_tracking"

    def get_task_counts(self, user: Optional[int] = None, group: Optional[int] = None) -> Dict[Tuple[str, str], int]:
        """How often each task of each version has run."""
        counts: Dict[Tuple[str, str], int] = {}
        for task in self._chosen(user, group):
            key = (task["name"], task["version"])
            counts[key] = counts.get(key, 0) + 1
        return counts

    def get_average_task_duration(
        self, user: Optional[int] = None, group: Optional[int] = None
    ) -> Dict[Tuple[str, str], float]:
        """The mean seconds of those that have ended."""
        taken: Dict[Tuple[str, str], List[float]] = {}
        for task in self._chosen(user, group):
            if task["end"] is not None:
                seconds = (task["end"] - task["start"]).total_seconds()
                taken.setdefault((task["name"], task["version"]), []).append(seconds)
        return {key: sum(all_of) / len(all_of) for key, all_of in taken.items()}

    def get_task_failures(
        self, user: Optional[int] = None, group: Optional[int] = None
    ) -> Dict[Tuple[str, str], List[str]]:
        """What those that failed have said."""
        failures: Dict[Tuple[str, str], List[str]] = {}
        for task in self._chosen(user, group):
            if task["error"] is not None:
                failures.setdefault((task["name"], task["version"]), []).append(task["error"])
        return failures

    def get_task_usage_over_time(
        self, task_name: str, user: Optional[int] = None, group: Optional[int] = None
    ) -> Dict[Any, int]:
        """How often a task was run on each day."""
        days: Dict[Any, int] = {}
        for task in self._chosen(user, group):
            if task["name"] == task_name:
                day = task["start"].date()
                days[day] = days.get(day, 0) + 1
        return dict(sorted(days.items()))
