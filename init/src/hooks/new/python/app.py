"""hook-name: greets who logs in to the worker.

The classes come from wit/site-hook.wit: ``componentize-py --wit-path wit --world site-hook bindings bindings`` writes
them, for an editor.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import (
    Context,
    Description,
    Effect,
    Effect_File,
    File,
    HookError_Missing,
    Missing,
    Needs,
    Owner,
)


class Hook(exports.Hook):
    def describe(self) -> Description:
        """What it wants to know. ``[grants]`` in hook.toml must hold as much."""
        return Description(
            name="hook-name",
            version="0.1.0",
            summary="greets who logs in to the worker",
            needs=Needs(
                settings=["omero.directory", "worker.name"],
                environment=["MOTD_CONTACT"],
                files=[],
                addresses=[],
            ),
        )

    def plan(self, context: Context) -> list[Effect]:
        """What should be. It happens when all of it is granted."""
        settings = {entry.name: entry.value for entry in context.settings}
        environment = {entry.name: entry.value for entry in context.environment}
        for key in ["omero.directory", "worker.name"]:
            if key not in settings:
                raise Err(HookError_Missing(Missing(key, f"set it with --set {key}=VALUE")))
        text = f"Welcome to {settings['worker.name']}.\n"
        if contact := environment.get("MOTD_CONTACT"):
            text += f"Questions: {contact}\n"
        motd = File(
            path=settings["omero.directory"] + "/etc/motd",
            content=text.encode(),
            secret=False,
            mode=0o644,
            owner=Owner.SERVICE_USER,
            lock=None,
        )
        return [Effect_File(motd)]
