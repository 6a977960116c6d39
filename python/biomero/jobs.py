"""Asking about jobs: states, progress, logs."""

from __future__ import annotations

import os
import time

from .connection import Result, SSHException, TransferResult
from .later import TYPE_CHECKING, datetime, re, shlex
from .slurm_job import ENDED

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

_BANNER = r"Running [\w-]+? Job w/ .+? \| .+? \| (.+?) \|"

# Under which name scripts ask for what became of images.
_OF_IMAGES = "sing.log"


class Jobs:
    """The part of the client that asks about jobs."""

    run: Any
    get: Any
    slurm_images_path: str
    slurm_converters_path: str
    sacct_start_time: str
    sacct_days_ago: Optional[int]

    def run_commands(
        self,
        cmdlist: List[str],
        env: Optional[Dict[str, str]] = None,
        sep: str = " && ",
        log_stdout: bool = True,
        **kwargs: Any,
    ) -> Result:
        """Runs commands of the cluster's shell, in turn."""
        return self.run(sep.join(cmdlist), env=env, **kwargs)

    def run_commands_split_out(self, cmdlist: List[str], env: Optional[Dict[str, str]] = None) -> List[str]:
        """What each command wrote; the last one has to succeed."""
        separator = "--split--"
        result = self.run(f" ; echo {separator} ; ".join(cmdlist), env=env, warn=True)
        if not result.ok:
            raise SSHException(f"{result.command}: {result.stderr.strip()}")
        return result.stdout.split(separator)

    def check_job_status(
        self, slurm_job_ids: List[int], env: Optional[Dict[str, str]] = None
    ) -> Tuple[Dict[int, str], Result]:
        """The state of each job, in Slurm's words; of an array, of what is worst, once all has ended."""
        ids = [int(one) for one in slurm_job_ids]
        told: Dict[int, List[str]] = {}
        for attempt in range(3):
            result = self.run(self.get_job_status_command(ids), env=env, warn=True)
            if not result.ok and result.exited != 1:
                raise SSHException(f"cannot ask Slurm about the jobs {ids}: {result.stderr.strip()}")
            for line in result.stdout.splitlines():
                job, _, state = line.strip().partition("|")
                number = re.match(r"\d+", job)
                if number and state:
                    told.setdefault(int(number.group()), []).append(state.split()[0].rstrip("+"))
            if told or attempt == 2:
                break
            time.sleep(attempt + 1)
        return {job: _worst(told.get(job, [])) for job in ids}, result

    def get_job_status_command(self, slurm_job_ids: List[int]) -> str:
        """``squeue`` for what waits or runs, ``sacct`` for what has ended."""
        ids = ",".join(str(int(one)) for one in slurm_job_ids)
        # squeue fails when it knows none of them.
        queue = f"squeue --noheader --states=all --format='%F|%T' --jobs={ids} 2> /dev/null"
        return f"{queue}; sacct -n -P -X -o JobID,State -j {ids}"

    def get_active_job_progress(
        self, slurm_job_id: int, pattern: str = r"\d+%", env: Optional[Dict[str, str]] = None
    ) -> Optional[str]:
        """What the job's log says last of its progress; of an array, the log written last."""
        job = int(slurm_job_id)
        logs = f"$(ls -t omero-{job}.log omero-{job}_*.log 2> /dev/null | head -n 1)"
        result = self.run(f'log={logs}; [ -n "$log" ] && tail -c 4096 "$log"', env=env, warn=True)
        found = re.findall(pattern, result.stdout) if result.ok else []
        return found[-1] if found else None

    def list_active_jobs(self, env: Optional[Dict[str, str]] = None) -> List[str]:
        """Jobs of ours that wait or run, newest first."""
        return self._numbers("squeue --noheader --me --format=%F", env)

    def list_completed_jobs(self, env: Optional[Dict[str, str]] = None) -> List[str]:
        """Jobs that have ended well, newest first."""
        return self._numbers(self.get_jobs_info_command(states="cd"), env)

    def list_all_jobs(self, env: Optional[Dict[str, str]] = None) -> List[str]:
        """Jobs in any state, newest first."""
        return self._numbers(self.get_jobs_info_command(), env)

    def get_jobs_info_command(
        self,
        start_time: Optional[str] = None,
        end_time: str = "now",
        columns: str = "JobId",
        states: str = "r,cd,f,to,rs,dl,nf",
    ) -> str:
        """``sacct`` for the jobs in these states."""
        if self.sacct_days_ago is not None:
            since = datetime.date.today() - datetime.timedelta(days=int(self.sacct_days_ago))
            start_time = start_time or since.isoformat()
        start = start_time or self.sacct_start_time
        return f"sacct --starttime {start} --endtime {end_time} --state {states} -o {columns} -n -X -P"

    def _numbers(self, command: str, env: Optional[Dict[str, str]]) -> List[str]:
        lines = self.run(command, env=env).stdout.split()
        return list(dict.fromkeys(line.partition("_")[0] for line in reversed(lines)))

    def get_recent_log_command(self, log_file: str, n: int = 10) -> str:
        """The last lines of a log."""
        return f"tail -n {int(n)} {shlex.quote(log_file)}"

    def get_logfile_from_slurm(
        self, slurm_job_id: str, local_tmp_storage: str = "/tmp/", logfile: Optional[str] = None
    ) -> Tuple[str, str, TransferResult]:
        """Fetches a job's log: the folder, its path, the transfer."""
        name = logfile or f"omero-{slurm_job_id}.log"
        path = os.path.join(local_tmp_storage, os.path.basename(name))
        if os.path.basename(name) == _OF_IMAGES:
            return local_tmp_storage, path, self._log_of_images(name, path)
        return local_tmp_storage, path, self.get(name, path)

    def _log_of_images(self, name: str, path: str) -> TransferResult:
        """What became of each image: the worker keeps that beside the image, the library in one file for all."""
        folders = " ".join(shlex.quote(folder) for folder in (self.slurm_images_path, self.slurm_converters_path))
        kinds = f"-name {_OF_IMAGES} -o -name '.*.sif.status' -o -name '.*.sif.log'"
        result = self.run(f"find {folders} -maxdepth 2 -type f '(' {kinds} ')' -exec tail -v -c 65536 -- {{}} + 2> /dev/null || :")
        with open(path, "w", encoding="utf-8") as kept:
            kept.write(result.stdout)
        return TransferResult(path, name, self)

    def get_conversion_logfile_from_slurm(
        self, slurm_job_id: str, local_tmp_storage: str = "/tmp/", logfile: Optional[str] = None
    ) -> Tuple[str, str, Any]:
        """Fetches the logs of a conversion's tasks as one file."""
        name = logfile or f"omero-{int(slurm_job_id)}.log"
        path = os.path.join(local_tmp_storage, os.path.basename(name))
        result = self.run(f"cat omero-{int(slurm_job_id)}_*.log 2> /dev/null || :")
        with open(path, "w", encoding="utf-8") as kept:
            kept.write(result.stdout)
        return local_tmp_storage, path, result

    def extract_data_location_from_log(
        self, slurm_job_id: Optional[str] = None, logfile: Optional[str] = None
    ) -> str:
        """The data folder of a job, by the first line of its log; empty where there is none."""
        name = logfile or f"omero-{slurm_job_id}.log"
        result = self.run(f"grep -m 1 -E 'Running [[:alnum:]_-]+ Job w/' {shlex.quote(name)}", warn=True)
        found = re.search(_BANNER, result.stdout)
        return found.group(1) if found else ""

    def extract_job_id(self, result: Result) -> int:
        """The number that sbatch has answered; -1 where it has not."""
        found = re.search(r"Submitted batch job (\d+)|^(\d+)(?:;\S+)?$", result.stdout, re.MULTILINE)
        return int(found.group(1) or found.group(2)) if found else -1


def _worst(states: List[str]) -> str:
    if not states:
        return "PENDING"
    for state in states:
        if state not in ENDED:
            return state
    return next((state for state in states if state != "COMPLETED"), "COMPLETED")
