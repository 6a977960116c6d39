"""What workflows are like. Descriptors are read by the worker; this has its answer in the shape that scripts know."""

from __future__ import annotations

from . import worker
from .later import TYPE_CHECKING, importlib, json, tempfile

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

_TRUE = ("true", "1", "yes", "on")


class WorkflowSchema(dict):
    """A descriptor: a dictionary whose keys are attributes too, with ``_`` for ``-``."""

    def __getattr__(self, name: str) -> Any:
        for key in (name, name.replace("_", "-")):
            if key in self:
                return self[key]
        raise AttributeError(f"the descriptor has no {name}")


ParsedWorkflowDescriptor = WorkflowSchema


def from_worker(told: Dict[str, Any]) -> WorkflowSchema:
    """What ``processor slurm workflows NAME --json`` says of a workflow."""
    inputs: List[WorkflowSchema] = []
    for one in told["parameters"]:
        entry = WorkflowSchema(
            {
                "id": one["id"],
                "name": one["name"],
                "type": one["type"],
                "description": one["description"],
                "default-value": one["default"],
                "optional": one["optional"],
                "command-line-flag": one["flag"],
                "value-key": one["variable"],
                "set-by-server": one["file_attachment"],
                "file-attachment": one["file_attachment"],
                "format": one["format"],
            }
        )
        if one["choices"]:
            entry["value-choices"] = [choice["value"] for choice in one["choices"]]
            labels = [choice["label"] for choice in one["choices"]]
            if any(label is not None for label in labels):
                entry["value-choices-labels"] = labels
        inputs.append(entry)
    image = WorkflowSchema({"image": told["image"], "type": "oci"})
    return WorkflowSchema(
        {
            "name": told["name"],
            "description": told["description"],
            "schema-version": told["format"],
            "container-image": image,
            "inputs": inputs,
            "outputs": [],
        }
    )


def detect_schema_format(descriptor_data: Dict[str, Any]) -> str:
    """The kind of a descriptor, by what is in it."""
    if "cwlVersion" in descriptor_data:
        raise ValueError("CWL is not supported: write a descriptor of BIAFLOWS, bilayers or BIOMERO")
    if "openapi" in str(descriptor_data.get("$schema", "")):
        raise ValueError("OpenAPI is not supported: write a descriptor of BIAFLOWS, bilayers or BIOMERO")
    version = str(descriptor_data.get("schema-version", ""))
    if version.startswith("biomero"):
        return "biomero-schema"
    if version.startswith("cytomine") or {"container-image", "inputs"} <= descriptor_data.keys():
        return "BIAFLOWS"
    if "docker_image" in descriptor_data:
        return "bilayers"
    raise ValueError(f"a descriptor with the keys {sorted(descriptor_data)} is of no kind that is known")


class WorkflowDescriptorParser:
    """Reads descriptors."""

    @classmethod
    def parse_descriptor(cls, descriptor_data: Dict[str, Any], name: Optional[str] = None) -> WorkflowSchema:
        """A descriptor of any kind that is known."""
        detect_schema_format(descriptor_data)
        # Files without a name: nothing is left by who is killed.
        with tempfile.TemporaryFile("w+") as descriptor, tempfile.TemporaryFile("w+") as configuration:
            json.dump(descriptor_data, descriptor)
            place = f"/dev/fd/{descriptor.fileno()}"
            configuration.write(f"[WORKFLOWS]\nworkflow = workflow\nworkflow_repo = {place}\nworkflow_job = job.sh\n")
            files = (descriptor, configuration)
            for file in files:
                file.flush()
            try:
                told = worker.ask(
                    ["slurm", "workflows", "workflow", "--json"],
                    {"BIOMERO_SLURM_CONFIG_FILE": f"/dev/fd/{configuration.fileno()}"},
                    files=[file.fileno() for file in files],
                )[0]
            except worker.WorkerError as error:
                raise ValueError(f"the descriptor makes no sense: {error}") from None
        schema = from_worker(told)
        schema["name"] = name or descriptor_data.get("name") or schema["name"]
        return schema


DescriptorParserFactory = WorkflowDescriptorParser


def create_class_instance(module_name: str, class_name: str, *args: Any, **kwargs: Any) -> Any:
    """An object of a class that is named, such as ``omero.scripts`` ``Int``."""
    return getattr(importlib.import_module(module_name), class_name)(*args, **kwargs)


def convert_schema_type_to_omero(
    schema_type: str, default_value: Any, *args: Any, rtype: bool = False, **kwargs: Any
) -> Any:
    """A parameter as OMERO's script form has it; with ``rtype`` the value that a script is given."""
    kind = schema_type.lower()
    if kind == "number":
        kind = "float" if isinstance(default_value, float) else "integer"
    names = {"integer": "Int", "float": "Float", "boolean": "Bool"}
    if kind not in names and kind not in ("string", "image", "file"):
        raise ValueError(f"a parameter of the type {schema_type!r} is not supported")
    if not rtype:
        return create_class_instance("omero.scripts", names.get(kind, "String"), *args, **kwargs)
    value = args[0] if args else default_value
    makers = {
        "integer": ("rint", lambda: int(float(value))),
        "float": ("rfloat", lambda: float(value)),
        "boolean": ("rbool", lambda: str(value).lower() in _TRUE),
    }
    maker, made = makers.get(kind, ("rstring", lambda: str(value)))
    return create_class_instance("omero.rtypes", maker, made())


def convert_schema_type_to_omero_rtype(schema_type: str, default_value: Any, value: Any) -> Any:
    """A value as a script is given it."""
    return convert_schema_type_to_omero(schema_type, default_value, value, rtype=True)
