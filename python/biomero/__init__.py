"""What OMERO scripts import to use a Slurm cluster, over the BIOMERO worker."""

from .eventsourcing import NoOpWorkflowTracker, ResultDict, Task, WorkflowRun, WorkflowTracker
from .slurm_client import SlurmClient
from .slurm_job import SlurmJob
from .views import JobAccounting, JobProgress, WorkflowAnalytics, WorkflowProgress

__version__ = "2.8.3+worker.1"

__all__ = [
    "JobAccounting",
    "JobProgress",
    "NoOpWorkflowTracker",
    "ResultDict",
    "SlurmClient",
    "SlurmJob",
    "Task",
    "WorkflowAnalytics",
    "WorkflowProgress",
    "WorkflowRun",
    "WorkflowTracker",
]
