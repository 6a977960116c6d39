"""Moving data: zip files to the cluster and back, and what is removed afterwards."""

from __future__ import annotations

import os
import posixpath

from .connection import Result, TransferResult
from .later import TYPE_CHECKING, logging, shlex

if TYPE_CHECKING:
    from typing import Any, Dict, Optional

# The first that the cluster has.
_ANY_ZIP = "$(command -v 7z || command -v 7za || command -v zip)"


class Data:
    """The part of the client that moves data."""

    run: Any
    put: Any
    get: Any
    slurm_data_path: str
    slurm_zip_cmd: Optional[str]
    extract_data_location_from_log: Any

    def transfer_data(self, local_path: str) -> TransferResult:
        """Sends a zip file into the data folder."""
        return self.put(local_path, posixpath.join(self.slurm_data_path, os.path.basename(local_path)))

    def unpack_data(self, zipfile: str, env: Optional[Dict[str, str]] = None) -> Result:
        """Unpacks a zip file that was sent, given without its ``.zip``, into a data folder of its own."""
        return self.run(self.get_unzip_command(zipfile), env=env)

    def get_unzip_command(self, zipfile: str, filter_filetypes: str = "*.zarr *.ome.zarr *.tiff *.tif") -> str:
        """Makes the data folder and unpacks the images of the zip file."""
        folder = posixpath.join(self.slurm_data_path, zipfile)
        folders = " ".join(_quoted(f"{folder}/data/{name}") for name in ("in", "out", "gt"))
        source, target = _quoted(f"{folder}.zip"), _quoted(f"{folder}/data/in")
        kinds = [kind for kind in filter_filetypes.split() if kind]
        seven = " ".join(shlex.quote(kind) for kind in kinds)
        # Info-ZIP's `*` goes across folders, and a pattern that fits nothing is its exit code 11.
        info = " ".join(shlex.quote(word) for kind in kinds for word in (kind, f"{kind}/*"))
        python = f"python3 -m zipfile -e {source} {target}"
        return (
            f"mkdir -p {folders} && zip={self._zip()} && case $zip in "
            f"'') {python} ;; "
            f"zip|*/zip) unzip -q -o {source} {info} -d {target} || [ $? -eq 11 ] ;; "
            f'*) "$zip" x -y -o{target} {source} {seven} ;; esac'
        )

    def zip_data_on_slurm_server(
        self, data_location: str, filename: str, env: Optional[Dict[str, str]] = None
    ) -> Result:
        """Packs the results of a data folder into ``filename.zip`` beside them."""
        return self.run(self.get_zip_command(data_location, filename), env=env)

    def get_zip_command(self, data_location: str, filename: str) -> str:
        """Packs ``data/out``; the place may be relative to the login folder."""
        place, name = _quoted(data_location), _quoted(f"{filename}.zip")
        python = f'python3 -m zipfile -c "$target" *'
        return (
            f'cd {place} && target=$PWD/{name} && cd data/out && zip={self._zip()} && case $zip in '
            f"'') {python} ;; "
            f'zip|*/zip) "$zip" -q -r "$target" . ;; '
            f'*) "$zip" a -y -tzip "$target" . ;; esac'
        )

    def copy_zip_locally(self, local_tmp_storage: str, filename: str) -> TransferResult:
        """Fetches ``filename.zip`` into a folder."""
        target = os.path.join(local_tmp_storage, os.path.basename(f"{filename}.zip"))
        return self.get(f"{filename}.zip", target)

    def cleanup_tmp_files(
        self,
        slurm_job_id: Any,
        filename: Optional[str] = None,
        data_location: Optional[str] = None,
        logfile: Optional[str] = None,
    ) -> Result:
        """Removes a job's logs, the zip file of this name, and its data folder where that is named."""
        job = int(slurm_job_id)
        doomed = [logfile or f"omero-{job}.log"]
        if filename:
            doomed += [f"{filename}.zip"]
        commands = []
        if data_location:
            base = posixpath.basename(data_location.rstrip("/"))
            if base in ("", ".", "..") or posixpath.normpath(data_location) == posixpath.normpath(self.slurm_data_path):
                raise ValueError(f"{data_location!r} is no data folder of a run: nothing was removed")
            place = data_location.rstrip("/")
            doomed += [f"{place}.zip", f"config_{base}.txt"]
            if filename:
                doomed += [f"{place}/{filename}.zip"]
            commands.append(f"rm -rf -- {_quoted(place)}")
        logs = " ".join(_quoted(name) for name in doomed)
        commands.insert(0, f"rm -f -- {logs} omero-{job}_*.log")
        result = self.run("; ".join(commands), warn=True)
        if not result.ok:
            logging.getLogger(__name__).warning("what job %s has left is still there: %s", job, result.stderr.strip())
        return result

    def _zip(self) -> str:
        return self.slurm_zip_cmd or _ANY_ZIP

    def _uses_infozip(self) -> bool:
        return posixpath.basename(self.slurm_zip_cmd or "") == "zip"


def _quoted(path: str) -> str:
    return shlex.quote(path)
