"""What is submitted: ``sbatch`` for workflows and conversions, with variables that are quoted when they are sent."""

from __future__ import annotations

import posixpath

from .connection import Result, UnexpectedExit
from .later import TYPE_CHECKING, re, shlex, uuid
from .slurm_job import SlurmJob

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple
    from uuid import UUID

_TRUE = ("true", "1", "yes", "y", "on")
_FORMAT = "[A-Za-z0-9_.-]+"


class Commands:
    """The part of the client that submits."""

    run: Any
    workflowTracker: Any
    extract_job_id: Any
    list_available_converter_versions: Any
    workflow_variables: Any
    workflow_image: Any
    slurm_data_path: str
    slurm_images_path: str
    slurm_converters_path: str
    slurm_script_path: str
    slurm_data_bind_path: Optional[str]
    slurm_default_partition: Optional[str]
    slurm_conversion_partition: Optional[str]
    slurm_model_paths: Dict[str, str]
    slurm_model_jobs: Dict[str, str]
    slurm_model_jobs_params: Dict[str, List[str]]
    slurm_model_use_gpu: Dict[str, bool]
    slurm_global_job_params: List[str]
    converter_images: Optional[Dict[str, str]]
    env_file_submission: bool
    inject_gpu_flag: bool
    gpu_partition: Optional[str]
    gpu_gres: Optional[str]
    gpu_gpus: Optional[str]

    def run_workflow(
        self,
        workflow_name: str,
        workflow_version: str,
        input_data: str,
        email: Optional[str] = None,
        time: Optional[str] = None,
        wf_id: Optional[UUID] = None,
        **kwargs: Any,
    ) -> Tuple[Result, int, UUID, UUID]:
        """Submits a workflow on a data folder: what sbatch answered, the job, the workflow run, the task.

        Where sbatch refuses, the task is recorded as failed before :class:`UnexpectedExit` is raised.
        """
        command, env = self.get_workflow_command(
            workflow_name, workflow_version, input_data, email, time, **kwargs
        )
        tracker = self.workflowTracker
        if wf_id is None:
            wf_id = tracker.initiate_workflow(workflow_name, workflow_version, -1, -1)
        folder = f"{self.slurm_data_path}/{input_data}/data"
        folders = {"infolder": f"{folder}/in", "outfolder": f"{folder}/out", "gtfolder": f"{folder}/gt"}
        task_id = tracker.add_task_to_workflow(
            wf_id, workflow_name, workflow_version, input_data, {**folders, "local": True, "nmc": True, **kwargs}
        )
        try:
            result = self.run(command, env=env)
        except Exception as error:
            tracker.fail_task(task_id, f"it could not be submitted: {error}")
            raise
        return result, self._submitted(task_id, result), wf_id, task_id

    def run_workflow_job(
        self,
        workflow_name: str,
        workflow_version: str,
        input_data: str,
        email: Optional[str] = None,
        time: Optional[str] = None,
        wf_id: Optional[UUID] = None,
        **kwargs: Any,
    ) -> SlurmJob:
        """As :meth:`run_workflow`, as a job that can be waited for."""
        return SlurmJob(
            *self.run_workflow(workflow_name, workflow_version, input_data, email, time, wf_id, **kwargs)
        )

    def run_conversion_workflow_job(
        self, folder_name: str, source_format: str = "zarr", target_format: str = "tiff", wf_id: Optional[UUID] = None
    ) -> SlurmJob:
        """Submits the conversion of a data folder's images. Where that fails, the job says so by ``ok``."""
        data_path = f"{self.slurm_data_path}/{folder_name}"
        command, env, _, version = self.get_conversion_command(
            data_path, f"config_{folder_name}.txt", source_format, target_format
        )
        name = f"convert_{source_format}_to_{target_format}".upper()
        tracker = self.workflowTracker
        if wf_id is None:
            wf_id = tracker.initiate_workflow("conversion", f"{source_format} to {target_format}", -1, -1)
        task_id = tracker.add_task_to_workflow(wf_id, name, version, data_path, env)
        try:
            result = self.run(command, env=env)
        except UnexpectedExit as error:
            tracker.add_result(task_id, error.result)
            tracker.fail_task(task_id, f"it could not be submitted: {error}")
            return SlurmJob(error.result, -1, wf_id, task_id)
        job = self._submitted(task_id, result)
        return SlurmJob(result, job, wf_id, task_id)

    def _submitted(self, task_id: UUID, result: Result) -> int:
        job = self.extract_job_id(result)
        self.workflowTracker.start_task(task_id)
        self.workflowTracker.add_job_id(task_id, job)
        self.workflowTracker.add_result(task_id, result)
        return job

    def get_workflow_command(
        self,
        workflow: str,
        workflow_version: str,
        input_data: str,
        email: Optional[str] = None,
        time: Optional[str] = None,
        **kwargs: Any,
    ) -> Tuple[str, Dict[str, str]]:
        """``sbatch`` for a workflow, and the variables of the job, as they are."""
        name = workflow.lower()
        if name not in self.slurm_model_jobs or name not in self.slurm_model_paths:
            known = ", ".join(sorted(self.slurm_model_jobs)) or "none"
            raise KeyError(f"no workflow {workflow!r} is configured; these are: {known}")
        image = posixpath.basename(self.workflow_image(name))
        env = {
            "DATA_PATH": f"{self.slurm_data_path}/{input_data}",
            "IMAGE_PATH": f"{self.slurm_images_path}/{self.slurm_model_paths[name]}",
            "IMAGE_VERSION": str(workflow_version),
            "SINGULARITY_IMAGE": f"{image}_{workflow_version}.sif",
            "SCRIPT_PATH": self.slurm_script_path,
        }
        options = list(self.slurm_model_jobs_params.get(name, []))
        asked = kwargs.get("use_gpu") if self.inject_gpu_flag else None
        gpu = self.slurm_model_use_gpu.get(name, False) if asked is None else str(asked).lower() in _TRUE
        if self.inject_gpu_flag:
            env["GPU_FLAG"] = "--nv" if gpu else ""
        lesser: List[Tuple[str, Optional[str]]] = []
        if gpu:
            lesser += [("partition", self.gpu_partition), ("gres", self.gpu_gres), ("gpus", self.gpu_gpus)]
        lesser += [("partition", self.slurm_default_partition)]
        for option, value in lesser:
            if value:
                _unless_there(options, f" --{option}={value}")
        for option in self.slurm_global_job_params:
            _unless_there(options, option)
        if time:
            options.append(f" --time={time}")
        if email:
            options.append(f" --mail-user={email}")
        options.append(" --output=omero-%j.log")
        if self.slurm_data_bind_path:
            env["APPTAINER_BINDPATH"] = self.slurm_data_bind_path
        env.update(self._variables(name, kwargs))
        script = posixpath.join(self.slurm_script_path, self.slurm_model_jobs[name])
        command = f"sbatch{''.join(_safe(option) for option in options)} {shlex.quote(script)}"
        if self.env_file_submission:
            return self._by_file(command, env, f"{env['DATA_PATH']}/biomero_job_env.sh"), {}
        return command, env

    def _by_file(self, command: str, env: Dict[str, str], file: str) -> str:
        lines = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(env.items()))
        end = f"BIOMERO_ENV_{uuid.uuid4().hex}"
        quoted = shlex.quote(file)
        return f"umask 077 && cat > {quoted} << '{end}' && {command} {quoted}\n{lines}\n{end}\n"

    def _variables(self, workflow: str, parameters: Dict[str, Any]) -> Dict[str, str]:
        names = self.workflow_variables(workflow)
        return {names.get(name, name.upper()): str(value) for name, value in parameters.items()}

    def workflow_params_to_envvars(self, **kwargs: Any) -> Dict[str, str]:
        """Parameters as variables: their names in capitals, their values as they are."""
        return {name.upper(): str(value) for name, value in kwargs.items()}

    def get_conversion_command(
        self, data_path: str, config_file: str, source_format: str = "zarr", target_format: str = "tiff"
    ) -> Tuple[str, Dict[str, str], str, str]:
        """The list of images and the job array that converts them: command, variables, converter, its version."""
        for kind in (source_format, target_format):
            if re.fullmatch(_FORMAT, kind) is None:
                raise ValueError(f"{kind!r} is no name of a format")
        converter = f"convert_{source_format}_to_{target_format}"
        configured = (self.converter_images or {}).get(f"{source_format}_to_{target_format}", "")
        version = posixpath.basename(configured).partition(":")[2]
        if not version:
            there = self.list_available_converter_versions().get(converter, [])
            version = there[0] if there else "latest"
        env = {
            "DATA_PATH": data_path,
            "CONVERSION_PATH": self.slurm_converters_path,
            "CONVERTER_IMAGE": f"{converter}_{version}.sif",
            "SCRIPT_PATH": self.slurm_script_path,
            "CONFIG_FILE": config_file,
        }
        if self.slurm_data_bind_path:
            env["APPTAINER_BINDPATH"] = self.slurm_data_bind_path
        options = [" --job-name=conversion", " --output=omero-%A_%a.log"]
        partition = self.slurm_conversion_partition or self.slurm_default_partition
        if partition:
            env["CONVERSION_PARTITION"] = partition
            options.append(f" --partition={partition}")
        for option in self.slurm_global_job_params:
            _unless_there(options, option)
        is_zarr = source_format == "zarr"
        kinds = r"-type d \( -name '*.zarr' -o -name '*.ome.zarr' \) -prune" if is_zarr else f"-name '*.{source_format}'"
        listed = shlex.quote(config_file)
        script = shlex.quote(f"{self.slurm_script_path}/convert_job_array.sh")
        command = (
            f"find {shlex.quote(f'{data_path}/data/in')} {kinds} -print | awk '{{print NR, $0}}' > {listed} "
            f"&& count=$(wc -l < {listed}) "
            f"&& {{ [ \"$count\" -gt 0 ] || {{ echo 'there is no .{source_format} to convert' >&2; exit 1; }}; }} "
            f'&& CONFIG_PATH="$PWD"/{listed} sbatch{"".join(_safe(option) for option in options)} '
            f'--export=ALL --array=1-"$count" {script}'
        )
        return command, env, converter, version

    def get_cellpose_command(
        self,
        image_version: str,
        input_data: str,
        cp_model: str,
        nuc_channel: int,
        prob_threshold: float,
        cell_diameter: float,
        email: Optional[str] = None,
        time: Optional[str] = None,
        use_gpu: bool = True,
        model: str = "cellpose",
    ) -> Tuple[str, Dict[str, str]]:
        """:meth:`get_workflow_command` for cellpose."""
        return self.get_workflow_command(
            model,
            image_version,
            input_data,
            email,
            time,
            cp_model=cp_model,
            nuc_channel=nuc_channel,
            prob_threshold=prob_threshold,
            diameter=cell_diameter,
            use_gpu=use_gpu,
        )


def _unless_there(options: List[str], option: str) -> None:
    flag = option.partition("=")[0]
    if not any(one.partition("=")[0] == flag for one in options):
        options.append(option)


def _safe(option: str) -> str:
    return " " + shlex.quote(option.strip())
