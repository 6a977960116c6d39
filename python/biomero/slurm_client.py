"""The client that scripts make: a cluster, its workflows, and the history of what was done."""

from __future__ import annotations

import os

from . import configuration, schema_parsers, worker
from .commands import Commands
from .connection import Connection, Result, SSHException, TransferResult, UnexpectedExit
from .data import Data
from .eventsourcing import NoOpWorkflowTracker, WorkflowTracker
from .jobs import Jobs
from .later import TYPE_CHECKING, re
from .setup import Setup
from .slurm_job import SlurmJob
from .views import JobAccounting, JobProgress, WorkflowAnalytics, WorkflowProgress

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

__all__ = ["Result", "SSHException", "SlurmClient", "SlurmJob", "TransferResult", "UnexpectedExit"]


class SlurmClient(Setup, Commands, Jobs, Data, configuration.Configuration, Connection):
    """A Slurm cluster over SSH. Made without asking anybody: the first command connects, the first event opens the history."""

    def __init__(
        self,
        host: str = configuration.Configuration._DEFAULT_HOST,
        user: Optional[str] = None,
        port: Optional[int] = None,
        config: Any = None,
        gateway: Any = None,
        forward_agent: Optional[bool] = None,
        connect_timeout: Optional[float] = None,
        connect_kwargs: Optional[Dict[str, Any]] = None,
        inline_ssh_env: bool = True,
        slurm_data_path: str = configuration.Configuration._DEFAULT_SLURM_DATA_PATH,
        slurm_images_path: str = configuration.Configuration._DEFAULT_SLURM_IMAGES_PATH,
        slurm_converters_path: str = configuration.Configuration._DEFAULT_SLURM_CONVERTERS_PATH,
        slurm_model_paths: Optional[Dict[str, str]] = None,
        slurm_model_repos: Optional[Dict[str, str]] = None,
        slurm_model_images: Optional[Dict[str, str]] = None,
        converter_images: Optional[Dict[str, str]] = None,
        slurm_model_jobs: Optional[Dict[str, str]] = None,
        slurm_model_jobs_params: Optional[Dict[str, List[str]]] = None,
        slurm_model_use_gpu: Optional[Dict[str, bool]] = None,
        slurm_script_path: str = configuration.Configuration._DEFAULT_SLURM_GIT_SCRIPT_PATH,
        slurm_script_repo: Optional[str] = None,
        init_slurm: bool = False,
        track_workflows: bool = True,
        enable_job_accounting: bool = True,
        enable_job_progress: bool = True,
        enable_workflow_analytics: bool = True,
        sqlalchemy_url: Optional[str] = None,
        config_only: bool = False,
        slurm_data_bind_path: Optional[str] = None,
        slurm_conversion_partition: Optional[str] = None,
        slurm_default_partition: Optional[str] = None,
        sacct_start_time: Optional[str] = None,
        sacct_days_ago: Optional[int] = None,
        env_file_submission: bool = False,
        inject_gpu_flag: bool = False,
        gpu_partition: Optional[str] = None,
        gpu_gres: Optional[str] = None,
        gpu_gpus: Optional[str] = None,
        slurm_global_job_params: Optional[List[str]] = None,
        slurm_image_pull_via_sbatch: bool = False,
        image_pull_cpus: str = "8",
        image_pull_mem: str = "32G",
        apptainer_tmpdir: Optional[str] = None,
        apptainer_cachedir: Optional[str] = None,
        slurm_zip_cmd: Optional[str] = None,
        analytics_rebuild_start_time: Optional[str] = None,
        analytics_rebuild_days_ago: Optional[int] = None,
    ) -> None:
        if config is not None or gateway is not None or connect_kwargs:
            raise ValueError("config, gateway and connect_kwargs are fabric's: say it in the SSH configuration of the host")
        Connection.__init__(self, host, user, port, connect_timeout)
        if gpu_gres and gpu_gpus:
            raise ValueError("gpu_gres and gpu_gpus are mutually exclusive: leave one of them out")
        self.inline_ssh_env, self.forward_agent = inline_ssh_env, forward_agent
        self.slurm_data_path, self.slurm_images_path = slurm_data_path, slurm_images_path
        self.slurm_converters_path, self.slurm_script_path = slurm_converters_path, slurm_script_path
        self.slurm_script_repo = slurm_script_repo
        self.slurm_model_paths, self.slurm_model_repos = slurm_model_paths or {}, slurm_model_repos or {}
        self.slurm_model_images, self.converter_images = slurm_model_images or {}, converter_images
        self.slurm_model_jobs, self.slurm_model_use_gpu = slurm_model_jobs or {}, slurm_model_use_gpu or {}
        self.slurm_model_jobs_params = slurm_model_jobs_params or {}
        self.slurm_data_bind_path, self.slurm_conversion_partition = slurm_data_bind_path, slurm_conversion_partition
        self.slurm_default_partition = slurm_default_partition
        self.sacct_start_time = sacct_start_time or self._DEFAULT_SACCT_START_TIME
        self.sacct_days_ago = sacct_days_ago
        self.env_file_submission, self.inject_gpu_flag = env_file_submission, inject_gpu_flag
        self.gpu_partition, self.gpu_gres, self.gpu_gpus = gpu_partition, gpu_gres, gpu_gpus
        self.slurm_global_job_params = slurm_global_job_params or []
        self.slurm_image_pull_via_sbatch = slurm_image_pull_via_sbatch
        self.image_pull_cpus, self.image_pull_mem = image_pull_cpus, image_pull_mem
        self.apptainer_tmpdir, self.apptainer_cachedir = apptainer_tmpdir, apptainer_cachedir
        self.slurm_zip_cmd = slurm_zip_cmd
        self.analytics_rebuild_start_time = analytics_rebuild_start_time
        self.analytics_rebuild_days_ago = analytics_rebuild_days_ago
        self.track_workflows, self.enable_job_accounting = track_workflows, enable_job_accounting
        self.enable_job_progress, self.enable_workflow_analytics = enable_job_progress, enable_workflow_analytics
        self.sqlalchemy_url = sqlalchemy_url
        self._configfile = ""
        self._described: Dict[str, Dict[str, Any]] = {}
        self._history()
        if init_slurm and not config_only:
            self.setup_slurm()

    @classmethod
    def from_config(cls, configfile: str = "", init_slurm: bool = False, config_only: bool = False) -> SlurmClient:
        """A client as ``slurm-config.ini`` says."""
        told = configuration.read(cls, cls.load_config(configfile))
        client = cls(**told, init_slurm=False, config_only=config_only)
        client._configfile = os.path.expanduser(configfile) if configfile else ""
        if init_slurm and not config_only:
            client.setup_slurm()
        return client

    def _history(self) -> None:
        if not self.track_workflows:
            nothing: Any = NoOpWorkflowTracker()
            self.workflowTracker = self.jobAccounting = self.jobProgress = nothing
            self.wfProgress = self.workflowAnalytics = nothing
            return
        tracker: Any = WorkflowTracker(self.sqlalchemy_url)
        self.workflowTracker = tracker
        self.jobAccounting: Any = JobAccounting(tracker.history)
        self.jobProgress: Any = JobProgress(tracker.history)
        self.wfProgress: Any = WorkflowProgress(tracker.history)
        self.workflowAnalytics: Any = WorkflowAnalytics(tracker.history)

    def initialize_analytics_system(self, reset_tables: bool = False) -> None:
        """Makes the tables of the history; with ``reset_tables`` writes its views anew, from ``analytics_rebuild_days_ago`` on, or from
        ``analytics_rebuild_start_time``, or from the beginning."""
        if self.track_workflows:
            days = self.analytics_rebuild_days_ago
            since = self.analytics_rebuild_start_time or "all" if days is None else f"{int(days)}d"
            self.workflowTracker.history.make(rebuild=reset_tables, since=since)

    def bring_listener_uptodate(self, listener: Any, start: int = 1) -> None:
        """Brings the views up to date with the log."""
        listener.pull_and_process("WorkflowTracker", start=start)

    def init_workflows(self, force_update: bool = False) -> None:
        """Asks for the descriptor of every workflow that has none yet; one that cannot be read does not keep the others."""
        for name in self.slurm_model_repos:
            if force_update:
                self._described.pop(name, None)
            self.workflow_image(name)

    def workflow_image(self, workflow: str) -> str:
        """The image of a workflow, without a tag."""
        if workflow not in self.slurm_model_images:
            _, self.slurm_model_images[workflow] = self.parse_docker_image_version(self._describe(workflow)["image"])
        return self.slurm_model_images[workflow]

    def workflow_variables(self, workflow: str) -> Dict[str, str]:
        """The variable that a job has each parameter in."""
        if workflow not in self.slurm_model_repos:
            return {}
        return {one["id"]: one["variable"] for one in self._describe(workflow)["parameters"]}

    def _describe(self, workflow: str) -> Dict[str, Any]:
        if workflow not in self._described:
            try:
                told = worker.ask(["slurm", "workflows", workflow, "--json"], self._told())
            except worker.WorkerError as error:
                raise ValueError(f"the workflow {workflow!r} is not described: {error}") from None
            self._described[workflow] = told[0]
        return self._described[workflow]

    def generic_descriptor_from_github(self, workflow: str) -> schema_parsers.WorkflowSchema:
        """The descriptor of a workflow that is configured."""
        by_repo = {repo: name for name, repo in self.slurm_model_repos.items()}
        return schema_parsers.from_worker(self._describe(by_repo.get(workflow, workflow)))

    def get_workflow_parameters(self, workflow: str) -> Dict[str, Dict[str, Any]]:
        """The parameters that a user may set."""
        return {
            one["id"]: {
                "name": one["id"],
                "default": one["default"],
                "type": one["type"],
                "optional": one["optional"],
                "cmd_flag": one["flag"],
                "description": one["description"],
                "file_attachment": one["file_attachment"],
                "format": one["format"],
            }
            for one in self._describe(workflow)["parameters"]
        }

    def get_file_attachment_params(self, workflow: str) -> Dict[str, Dict[str, Any]]:
        """Those of them that are files."""
        every = self.get_workflow_parameters(workflow)
        return {name: one for name, one in every.items() if one["file_attachment"]}

    def convert_param_type_to_omtype(self, param_type: str, _default: Any, *args: Any, **kwargs: Any) -> Any:
        """A parameter as OMERO's script form has it."""
        names = {"integer": "Int", "float": "Float", "boolean": "Bool"}
        return self.str_to_class("omero.scripts", names.get(param_type, "String"), *args, **kwargs)

    def str_to_class(self, module_name: str, class_name: str, *args: Any, **kwargs: Any) -> Any:
        """An object of a class that is named."""
        return schema_parsers.create_class_instance(module_name, class_name, *args, **kwargs)

    def parse_docker_image_version(self, image: str) -> Tuple[Optional[str], str]:
        """The tag of an image, and the image without it."""
        found = re.fullmatch(r"((?:[^/:]+(?::\d+)?/)?[^:]+):([^/:]+)", image)
        return (found.group(2), found.group(1)) if found else (None, image)

    def extract_parts_from_url(self, input_url: str) -> Tuple[List[str], str]:
        """The parts of a repository's address, and the branch that it names, or ``master``."""
        parts = input_url.split("/")
        if len(parts) < 5 or "github.com" not in parts[2]:
            raise ValueError(f"{input_url!r} is no repository: https://github.com/ORGANISATION/REPOSITORY/tree/VERSION")
        return parts, parts[6] if len(parts) > 6 and parts[5] == "tree" else "master"
