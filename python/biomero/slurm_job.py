"""A job that was submitted."""

from __future__ import annotations

import time

from .connection import Result, SSHException
from .later import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Optional
    from uuid import UUID

# Of Slurm: a job in one of these changes no more.
ENDED = frozenset(
    "COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL OUT_OF_MEMORY PREEMPTED BOOT_FAIL DEADLINE REVOKED".split()
)
# How long a cluster that is away is waited for.
AWAY = 3600.0


class SlurmJob:
    """A job, the task that it is recorded under, and how to wait for it."""

    SLURM_POLLING_INTERVAL = 10

    def __init__(
        self,
        submit_result: Result,
        job_id: int,
        wf_id: UUID,
        task_id: UUID,
        slurm_polling_interval: int = SLURM_POLLING_INTERVAL,
        log_file: Optional[str] = None,
    ) -> None:
        self.job_id, self.wf_id, self.task_id = job_id, wf_id, task_id
        self.slurm_polling_interval = slurm_polling_interval
        self.log_file = log_file
        self.submit_result = submit_result
        self.ok = submit_result.ok
        self.job_state: Optional[str] = None
        self.progress: Optional[str] = None
        self.error_message = self.get_error()

    def wait_for_completion(self, slurmClient: Any, omeroConn: Any) -> str:
        """The state in which the job has ended. A cluster that is away for less than an hour is waited for."""
        away_since: Optional[float] = None
        told: Any = None
        while self.job_state not in ENDED:
            try:
                states, _ = slurmClient.check_job_status([self.job_id])
                self.job_state = states[self.job_id]
                self.progress = slurmClient.get_active_job_progress(self.job_id)
                away_since = None
            except SSHException:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > AWAY:
                    raise
            omeroConn.keepAlive()
            if (self.job_state, self.progress) != told and away_since is None:
                slurmClient.workflowTracker.update_task_status(self.task_id, self.job_state)
                slurmClient.workflowTracker.update_task_progress(self.task_id, self.progress)
                told = (self.job_state, self.progress)
            if self.job_state not in ENDED:
                time.sleep(self.slurm_polling_interval)
        return str(self.job_state)

    def cleanup(self, slurmClient: Any) -> Result:
        """Removes its log from the cluster; its data stays."""
        return slurmClient.cleanup_tmp_files(self.job_id, logfile=self.log_file)

    def completed(self) -> bool:
        """Whether it has ended well."""
        return self.job_state == "COMPLETED"

    def get_error(self) -> str:
        """What sbatch said, when it refused."""
        return self.submit_result.stderr

    def __str__(self) -> str:
        return f"SlurmJob(job {self.job_id}, {self.job_state or 'submitted'}, task {self.task_id})"
