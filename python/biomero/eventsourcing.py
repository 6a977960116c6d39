"""Recording the workflow history, and reading it: ``processor events`` under the names of Python's tracker.

Event, views and positions are written together by the worker, under an id of the command: told again, it is recorded once. What is
recorded goes through one process (:mod:`biomero.recorder`); each question is a process of its own.
"""

from __future__ import annotations

from . import recorder, worker
from .later import TYPE_CHECKING, datetime, json, uuid

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Union
    from uuid import UUID

    Id = Union[UUID, str]

# In bytes, of one text: the history is for what has happened, not for data.
LONGEST = 60_000


class AggregateNotFoundError(Exception):
    """Nothing is recorded under this id."""


class ResultDict(dict):
    """What is recorded of a command: itself, its variables, and what it wrote."""

    def __init__(self, result: Any) -> None:
        super().__init__(
            command=str(result.command),
            env={str(name): str(value) for name, value in (result.env or {}).items()},
            stdout=str(result.stdout),
            stderr=str(result.stderr),
        )


class _Aggregate:
    id: UUID
    version: int
    created_on: datetime.datetime
    modified_on: datetime.datetime

    def __init__(self, told: Dict[str, Any]) -> None:
        self.id, self.version = uuid.UUID(told["id"]), told["version"]
        self.created_on = datetime.datetime.fromisoformat(told["created_on"])
        self.modified_on = datetime.datetime.fromisoformat(told["modified_on"])

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"


class WorkflowRun(_Aggregate):
    """A workflow run as its events tell it."""

    def __init__(self, told: Dict[str, Any]) -> None:
        super().__init__(told)
        self.name, self.description = told["name"], told["description"]
        self.user, self.group = told["user"], told["group"]
        self.tasks = [uuid.UUID(task["id"]) for task in told["tasks"]]


class Task(_Aggregate):
    """A task of a workflow run as its events tell it."""

    def __init__(self, told: Dict[str, Any]) -> None:
        super().__init__(told)
        self.workflow_id = uuid.UUID(told["workflow_id"])
        self.task_name, self.task_version = told["task_name"], told["task_version"]
        self.input_data, self.params = told["input_data"], told["params"]
        self.job_ids = [job["job_id"] for job in told["jobs"]]
        self.results, self.result_message = told["results"], told["message"]
        self.status: Optional[str] = None
        self.progress: Optional[str] = None
        for event in told["events"]:
            state = event["state"]
            if event["topic"].endswith(".StatusUpdated"):
                self.status = state["status"]
            elif event["topic"].endswith(".ProgressUpdated"):
                self.progress = state["progress"]


class Notification:
    """An event with its place in the log."""

    def __init__(self, told: Dict[str, Any]) -> None:
        self.originator_id = uuid.UUID(told["originator_id"])
        self.originator_version: int = told["originator_version"]
        self.topic: str = told["topic"]
        self.state = json.dumps(told["state"], ensure_ascii=False, separators=(",", ":")).encode()
        self.id: int = told["id"]

    def __repr__(self) -> str:
        return f"Notification(id={self.id}, topic={self.topic!r}, originator_id={self.originator_id!r})"


class History:
    """The history in a database; without a URL, in that which the worker is configured with."""

    def __init__(self, sqlalchemy_url: Optional[str] = None) -> None:
        self.sqlalchemy_url = sqlalchemy_url or None
        self._environment = {"SQLALCHEMY_URL": sqlalchemy_url} if sqlalchemy_url else {}

    def ask(self, *arguments: str, accept: Sequence[int] = (0,)) -> List[Any]:
        """A verb of ``processor events``."""
        return worker.ask(["events", *arguments], self._environment, accept=accept)

    def record(self, *words: str) -> Dict[str, Any]:
        """A command of ``processor events record``."""
        return recorder.of(self.sqlalchemy_url).record(words)

    def make(self, rebuild: bool = False, since: str = "all") -> None:
        """Makes what tables are missing, and brings the views up to date, or writes them anew: all rows, or those since a date."""
        self.ask("init", "--json", *(["--rebuild", "--since", since] if rebuild else []))


class NotificationLog:
    """The log, read by place."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.section_size = 10

    def select(self, start: int, limit: int, **_: Any) -> List[Notification]:
        """The events from this place on, at most so many; no section limits them."""
        told = self._history.ask("select", "--json", "--start", str(start), "--limit", str(limit))
        return [Notification(one) for one in told]


class Repository:
    """Workflow runs and tasks by their ids."""

    def __init__(self, history: History) -> None:
        self._history = history

    def get(self, aggregate_id: Id) -> Union[WorkflowRun, Task]:
        """A workflow run or a task."""
        name = str(uuid.UUID(str(aggregate_id)))
        try:
            told = self._history.ask("show", "--json", name)[0]
        except worker.WorkerError as error:
            if error.exit_code == worker.NOT_RECORDED:
                raise AggregateNotFoundError(f"nothing is recorded under the id {name}: {error}") from None
            raise
        return WorkflowRun(told) if told["kind"] == "WorkflowRun" else Task(told)

    def __contains__(self, aggregate_id: Id) -> bool:
        try:
            self.get(aggregate_id)
        except AggregateNotFoundError:
            return False
        return True


class WorkflowTracker:
    """Records what becomes of workflow runs."""

    def __init__(self, sqlalchemy_url: Optional[str] = None, **_: Any) -> None:
        self.history = History(sqlalchemy_url)
        self.notification_log = NotificationLog(self.history)
        self.repository = Repository(self.history)

    def initiate_workflow(self, name: str, description: str, user: int, group: int) -> UUID:
        """A workflow run begins; its id."""
        return self._record("initiate-workflow", name, description, user, group)

    def add_task_to_workflow(
        self, workflow_id: Id, task_name: str, task_version: str, input_data: Any, kwargs: Dict[str, Any]
    ) -> UUID:
        """A workflow run has a task; the task's id."""
        options = ["--input-data", _json(input_data), "--params", _json(kwargs)]
        return self._record("add-task-to-workflow", workflow_id, task_name, task_version, options=options)

    def start_workflow(self, workflow_id: Id) -> None:
        """A workflow run has started."""
        self._record("start-workflow", workflow_id)

    def complete_workflow(self, workflow_id: Id) -> None:
        """A workflow run has ended well."""
        self._record("complete-workflow", workflow_id)

    def fail_workflow(self, workflow_id: Id, error_message: str) -> None:
        """A workflow run has failed."""
        self._record("fail-workflow", workflow_id, error_message)

    def start_task(self, task_id: Id) -> None:
        """A task has started."""
        self._record("start-task", task_id)

    def complete_task(self, task_id: Id, message: str) -> None:
        """A task has ended well."""
        self._record("complete-task", task_id, message)

    def fail_task(self, task_id: Id, error_message: str) -> None:
        """A task has failed."""
        self._record("fail-task", task_id, error_message)

    def add_job_id(self, task_id: Id, slurm_job_id: int) -> None:
        """A task was submitted to Slurm."""
        self._record("add-job-id", task_id, slurm_job_id)

    def add_result(self, task_id: Id, result: Any) -> None:
        """A command of a task has answered."""
        told = ResultDict(result)
        options = ["--stdout", _end(told["stdout"]), "--stderr", _end(told["stderr"])]
        for name, value in told["env"].items():
            options += ["--env", _sound(f"{name}={value}")]
        self._record("add-result", task_id, told["command"], options=options)

    def update_task_status(self, task_id: Id, status: Optional[str]) -> None:
        """A task's state has changed."""
        self._record("update-task-status", task_id, *([] if status is None else [status]))

    def update_task_progress(self, task_id: Id, progress: Optional[str]) -> None:
        """A task has come further."""
        self._record("update-task-progress", task_id, *([] if progress is None else [progress]))

    def pull_and_process(self, leader_name: str = "", start: Optional[int] = None, **_: Any) -> None:
        """Brings the views up to date with the log."""
        self.history.make()

    def _record(self, verb: str, *positional: Any, options: Sequence[str] = ()) -> UUID:
        told = [_end(str(one)) for one in positional]
        words = [verb, "--command-id", str(uuid.uuid4()), *options, "--", *told]
        try:
            appended = self.history.record(*words)
        except worker.WorkerError as error:
            # The tables are not there yet, or what is written of is not: the second is told again.
            if error.exit_code != worker.NOT_RECORDED or verb != "initiate-workflow":
                raise
            self.history.make()
            appended = self.history.record(*words)
        return uuid.UUID(appended["events"][0]["originator_id"])


class NoOpWorkflowTracker:
    """Stands where nothing is recorded: takes every call."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **keywords: None


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text.encode()) > 2 * LONGEST:
        raise ValueError(f"{len(text)} characters of input or parameters are too many for the history: name a file instead")
    return text


def _sound(text: str) -> str:
    # What no UTF-8 can hold is from names of files.
    return text.replace("\0", "").encode(errors="replace").decode()


def _end(text: str) -> str:
    text = _sound(text)
    return text if len(text) <= LONGEST // 2 else f"[…]\n{text[-LONGEST // 2:]}"
