"""Making the cluster ready, and what is there: ``processor slurm init``, and the folders themselves."""

from __future__ import annotations

import posixpath

from . import worker
from .connection import Result, SSHException
from .later import TYPE_CHECKING, json, re, shlex

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

_IMAGE = r".*?[-_](v.+|latest)\.(?:simg|sif)"
_CONVERTER = r"(convert_.+)_([^_]+)\.(?:simg|sif)"
# Folders, scripts and a job that pulls images; images are not waited for.
_DEADLINE = 1800.0


class Setup:
    """The part of the client that makes the cluster ready."""

    run: Any
    host: str
    slurm_data_path: str
    slurm_images_path: str
    slurm_converters_path: str
    slurm_script_path: str
    slurm_script_repo: Optional[str]
    slurm_model_paths: Dict[str, str]
    slurm_model_images: Dict[str, str]
    apptainer_tmpdir: Optional[str]
    apptainer_cachedir: Optional[str]
    _configfile: str

    def validate(self, validate_slurm_setup: bool = False) -> bool:
        """Whether the cluster can be reached; with ``validate_slurm_setup`` also makes it ready."""
        connected = self.run(":", warn=True).ok
        if connected and validate_slurm_setup:
            try:
                self.setup_slurm()
            except (SSHException, worker.WorkerError):
                return False
        return connected

    def setup_slurm(self) -> None:
        """Makes folders, job scripts and images; what is there stays. Images are pulled in the background."""
        self._init()

    def setup_directories(self) -> None:
        """Makes the folders."""
        folders = [self.slurm_data_path, self.slurm_script_path, self.slurm_images_path, self.slurm_converters_path]
        folders += [folder for folder in (self.apptainer_tmpdir, self.apptainer_cachedir) if folder]
        self.run("mkdir -p -- " + " ".join(shlex.quote(folder) for folder in folders))

    def setup_job_scripts(self) -> None:
        """As :meth:`setup_slurm`: what is there already costs nothing."""
        self._init()

    def setup_container_images(self) -> None:
        """As :meth:`setup_slurm`: what is there already costs nothing."""
        self._init()

    def setup_converters(self) -> None:
        """As :meth:`setup_slurm`: what is there already costs nothing."""
        self._init()

    def update_slurm_scripts(self, generate_jobs: bool = False, env: Optional[Dict[str, str]] = None) -> Result:
        """Job scripts as the workflows' descriptors, or the repository of scripts, have them now."""
        return self._init()

    def get_update_slurm_scripts_command(self) -> str:
        """What would bring a clone of the repository of scripts up to date by hand."""
        return f"git -C {shlex.quote(self.slurm_script_path)} pull"

    def _init(self) -> Result:
        # 2: made, but for what each item's own line says.
        told = worker.ask(["slurm", "init", "--json"], self._told(), timeout=_DEADLINE)
        text = "".join(json.dumps(one) + "\n" for one in told)
        return Result(text, "", 0, "processor slurm init", {}, self)

    def _told(self) -> Dict[str, str]:
        """Has the worker read the file that this client was made from, too."""
        return {"BIOMERO_SLURM_CONFIG_FILE": self._configfile} if self._configfile else {}

    def list_available_converter_versions(self) -> Dict[str, List[str]]:
        """The versions of each converter, newest first."""
        (names,) = self._listings([self.slurm_converters_path])
        versions: Dict[str, List[str]] = {}
        for name in names:
            found = re.fullmatch(_CONVERTER, name)
            if found:
                versions.setdefault(found.group(1), []).append(found.group(2))
        return {name: _newest_first(all_of) for name, all_of in versions.items()}

    def get_image_versions_and_data_files(self, model: str) -> Tuple[List[str], List[str]]:
        """The versions of a workflow's image, newest first, and the zip files of the data folder."""
        if model not in self.slurm_model_paths:
            known = ", ".join(sorted(self.slurm_model_paths)) or "none"
            raise ValueError(f"no workflow {model!r} is configured; these are: {known}")
        images, data = self._listings([self._images_of(model), self.slurm_data_path])
        return _versions(images), _zips(data)

    def get_all_image_versions_and_data_files(self) -> Tuple[Dict[str, List[str]], List[str]]:
        """As :meth:`get_image_versions_and_data_files`, for all workflows by one command."""
        models = list(self.slurm_model_paths)
        *images, data = self._listings([*(self._images_of(model) for model in models), self.slurm_data_path])
        return {model: _versions(names) for model, names in zip(models, images)}, _zips(data)

    def _images_of(self, model: str) -> str:
        return posixpath.join(self.slurm_images_path, self.slurm_model_paths[model])

    def _listings(self, folders: List[str]) -> List[List[str]]:
        """The names in each folder: none where it is not there."""
        commands = [f"echo / ; ls -1 -- {shlex.quote(folder)} 2> /dev/null" for folder in folders]
        listings: List[List[str]] = []
        for line in self.run(" ; ".join([*commands, ":"])).stdout.split("\n"):
            # No file is called so.
            if line == "/":
                listings.append([])
            elif line and listings:
                listings[-1].append(line)
        return listings


def _versions(names: List[str]) -> List[str]:
    found = [match.group(1) for match in (re.fullmatch(_IMAGE, name) for name in names) if match]
    # A choice of nothing is one empty word, as scripts expect.
    return _newest_first(found) or [""]


def _zips(names: List[str]) -> List[str]:
    return sorted((name[:-4] for name in names if name.endswith(".zip")), reverse=True) or [""]


def _newest_first(versions: List[str]) -> List[str]:
    def rank(version: str) -> List[Tuple[int, int, str]]:
        parts = re.findall(r"\d+|[^\d]+", version)
        return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]

    return sorted(set(versions), key=rank, reverse=True)
