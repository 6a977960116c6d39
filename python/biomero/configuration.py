"""``slurm-config.ini``, read as BIOMERO reads it: environment, then files, the last one first, then what is shipped."""

from __future__ import annotations

import os

from .constants import slurm_env as env
from .later import TYPE_CHECKING, configparser, logging

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Type

_TRUE, _FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")


class Configuration:
    """The part of the client that reads its configuration."""

    _DEFAULT_CONFIG_PATH_1 = "/etc/slurm-config.ini"
    _DEFAULT_CONFIG_PATH_2 = "/OMERO/slurm-config.ini"
    _DEFAULT_CONFIG_PATH_3 = "~/slurm-config.ini"
    _DEFAULT_HOST = "slurm"
    _DEFAULT_SLURM_DATA_PATH = "my-scratch/data"
    _DEFAULT_SLURM_IMAGES_PATH = "my-scratch/singularity_images/workflows"
    _DEFAULT_SLURM_CONVERTERS_PATH = "my-scratch/singularity_images/converters"
    _DEFAULT_SLURM_GIT_SCRIPT_PATH = "slurm-scripts"
    _DEFAULT_SACCT_START_TIME = "2023-01-01"
    _DEFAULT_SLURM_ZIP_CMD = ""

    @classmethod
    def get_authoritative_config_path(cls) -> Optional[str]:
        """The one file that counts, where ``BIOMERO_SLURM_CONFIG_FILE`` names it."""
        named = os.environ.get(env.BIOMERO_SLURM_CONFIG_FILE)
        return os.path.expanduser(named) if named else None

    @classmethod
    def get_config_paths(cls, configfile: str = "") -> List[str]:
        """The files that are read, each above those before it."""
        only = cls.get_authoritative_config_path()
        if only:
            return [only]
        shipped = [cls._DEFAULT_CONFIG_PATH_1, cls._DEFAULT_CONFIG_PATH_2, cls._DEFAULT_CONFIG_PATH_3]
        return [os.path.expanduser(path) for path in [*shipped, configfile] if path]

    @classmethod
    def get_config_write_path(cls) -> str:
        """The file that an administration page writes."""
        return cls.get_authoritative_config_path() or os.path.expanduser(cls._DEFAULT_CONFIG_PATH_3)

    @classmethod
    def load_config(cls, configfile: str = "") -> configparser.ConfigParser:
        """All files as one. A ``%`` is itself: a database URL may have one."""
        configs = configparser.ConfigParser(allow_no_value=True, interpolation=None)
        configs.read(cls.get_config_paths(configfile), encoding="utf-8")
        return configs

    @staticmethod
    def _get_config_value(
        configs: Any,
        section: str,
        option: str,
        default: Any,
        env_vars: Optional[Sequence[str]] = None,
        value_type: Type = str,
        empty_is_none: bool = False,
    ) -> Any:
        for name in env_vars or ():
            value = os.environ.get(name)
            if value is None or (empty_is_none and not value.strip()):
                continue
            try:
                return _typed(value, value_type)
            except ValueError as error:
                logging.getLogger(__name__).warning("the variable %s is left out: %s", name, error)
        value = configs.get(section, option, fallback=None)
        if value is None or (empty_is_none and not value.strip()):
            return default
        try:
            return _typed(value, value_type)
        except ValueError as error:
            if value_type is bool:
                raise ValueError(f"{option} in [{section}] of slurm-config.ini: {error}") from None
            logging.getLogger(__name__).warning("%s in [%s] of slurm-config.ini is left out: %s", option, section, error)
            return default


def _typed(value: str, kind: Type) -> Any:
    if kind is not bool:
        return kind(value)
    word = value.strip().lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"{value!r} is neither true nor false")
    return word in _TRUE


def read(client: Type[Configuration], configs: configparser.ConfigParser) -> Dict[str, Any]:
    """What a client is made with, by the names of its parameters."""

    def value(section: str, option: str, default: Any = None, *names: str, kind: Type = str) -> Any:
        return client._get_config_value(configs, section, option, default, names, kind, empty_is_none=True)

    told: Dict[str, Any] = {
        "host": value("SSH", "host", client._DEFAULT_HOST),
        "inline_ssh_env": value("SSH", "inline_ssh_env", True, kind=bool),
        "slurm_data_path": value("SLURM", "slurm_data_path", client._DEFAULT_SLURM_DATA_PATH),
        "slurm_images_path": value("SLURM", "slurm_images_path", client._DEFAULT_SLURM_IMAGES_PATH),
        "slurm_converters_path": value("SLURM", "slurm_converters_path", client._DEFAULT_SLURM_CONVERTERS_PATH),
        "slurm_script_path": value("SLURM", "slurm_script_path", client._DEFAULT_SLURM_GIT_SCRIPT_PATH),
        "slurm_script_repo": value("SLURM", "slurm_script_repo"),
        "slurm_data_bind_path": value("SLURM", "slurm_data_bind_path"),
        "slurm_conversion_partition": value("SLURM", "slurm_conversion_partition"),
        "slurm_default_partition": value("SLURM", "slurm_default_partition", None, env.BIOMERO_DEFAULT_PARTITION),
        "sacct_start_time": value(
            "SLURM", "sacct_start_time", client._DEFAULT_SACCT_START_TIME, env.BIOMERO_SACCT_START_TIME
        ),
        "sacct_days_ago": value("SLURM", "sacct_days_ago", None, env.BIOMERO_SACCT_START_DAYS_AGO, kind=int),
        "env_file_submission": value(
            "SLURM", "env_file_submission", False, env.BIOMERO_ENV_FILE_SUBMISSION, kind=bool
        ),
        "inject_gpu_flag": value("SLURM", "inject_gpu_flag", False, env.BIOMERO_INJECT_GPU_FLAG, kind=bool),
        "gpu_partition": value("SLURM", "gpu_partition", None, env.BIOMERO_GPU_PARTITION, env.GPU_PARTITION),
        "gpu_gres": value("SLURM", "gpu_gres", None, env.BIOMERO_GPU_GRES, env.GPU_GRES),
        "gpu_gpus": value("SLURM", "gpu_gpus", None, env.BIOMERO_GPU_GPUS, env.GPU_GPUS),
        "slurm_image_pull_via_sbatch": value(
            "SLURM", "slurm_image_pull_via_sbatch", False, env.BIOMERO_IMAGE_PULL_VIA_SBATCH, kind=bool
        ),
        "image_pull_cpus": value("SLURM", "image_pull_cpus", "8", env.BIOMERO_PULL_CPUS),
        "image_pull_mem": value("SLURM", "image_pull_mem", "32G", env.BIOMERO_PULL_MEM),
        "apptainer_tmpdir": value("SLURM", "apptainer_tmpdir", None, env.BIOMERO_APPTAINER_TMPDIR),
        "apptainer_cachedir": value("SLURM", "apptainer_cachedir", None, env.BIOMERO_APPTAINER_CACHEDIR),
        "slurm_zip_cmd": value("SLURM", "slurm_zip_cmd", None, env.BIOMERO_SLURM_ZIP_CMD),
        "sqlalchemy_url": value("ANALYTICS", "sqlalchemy_url", None, env.SQLALCHEMY_URL),
        "analytics_rebuild_start_time": value(
            "ANALYTICS", "analytics_rebuild_start_time", None, env.BIOMERO_ANALYTICS_REBUILD_START_TIME
        ),
        "analytics_rebuild_days_ago": value(
            "ANALYTICS", "analytics_rebuild_days_ago", None, env.BIOMERO_ANALYTICS_REBUILD_DAYS_AGO, kind=int
        ),
    }
    for switch in ("track_workflows", "enable_job_accounting", "enable_job_progress", "enable_workflow_analytics"):
        told[switch] = value("ANALYTICS", switch, True, kind=bool)
    options = _items(configs, "SLURM")
    told["slurm_global_job_params"] = [
        f" --{key[len('sbatch_'):]}={text}" for key, text in options.items() if key.startswith("sbatch_") and text
    ]
    told["converter_images"] = _items(configs, "CONVERTERS") or None
    told.update(_workflows({**_items(configs, "MODELS"), **_items(configs, "WORKFLOWS")}))
    return told


def _items(configs: configparser.ConfigParser, section: str) -> Dict[str, str]:
    return {key: text or "" for key, text in configs.items(section)} if configs.has_section(section) else {}


def _workflows(keys: Dict[str, str]) -> Dict[str, Any]:
    paths: Dict[str, str] = {}
    repos: Dict[str, str] = {}
    jobs: Dict[str, str] = {}
    options: Dict[str, List[str]] = {}
    gpus: Dict[str, bool] = {}
    for key, text in keys.items():
        name, found, option = key.rpartition("_job_")
        if key.endswith("_repo"):
            repos[key[: -len("_repo")]] = text
        elif key.endswith("_job"):
            jobs[key[: -len("_job")]] = text
        elif key.endswith("_use_gpu"):
            gpus[key[: -len("_use_gpu")]] = _typed(text, bool)
        elif found:
            options.setdefault(name, []).append(f" --{option}={text}")
        else:
            paths[key] = text
    return {
        "slurm_model_paths": paths,
        "slurm_model_repos": repos,
        "slurm_model_jobs": jobs,
        "slurm_model_jobs_params": {name: options.get(name, []) for name in jobs},
        "slurm_model_use_gpu": gpus,
    }
