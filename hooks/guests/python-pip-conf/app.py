"""pip-conf: pip behind a site's proxy, with its package index and its certificates.

What a script of OMERO installs at run time goes through pip, which reads one file; the variables of the container
are for the site to set.

The classes come from site-hook.wit: ``componentize-py -d WIT -w site-hook bindings .`` writes them, for an editor and
for the unit tests.
"""

import configparser
import io
from urllib.parse import urlsplit

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import log
from wit_world.imports.types import (
    Context,
    Description,
    Effect,
    Effect_File,
    Effect_Variable,
    File,
    HookError_Invalid,
    HookError_Missing,
    Invalid,
    Missing,
    Needs,
    Owner,
    Variable,
)

# Option of pip, and the variables it is taken from: the first that is set.
OPTIONS = {
    "proxy": ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"],
    "index-url": ["BIOMERO_PIP_INDEX"],
    "cert": ["REQUESTS_CA_BUNDLE"],
}


class Hook(exports.Hook):
    def describe(self) -> Description:
        return Description(
            name="pip-conf",
            version="1.0.0",
            summary="writes pip.conf from the site's proxy, package index and certificates",
            needs=Needs(
                settings=["omero.directory"],
                environment=[name for names in OPTIONS.values() for name in names],
                files=[],
                addresses=[],
            ),
        )

    def plan(self, context: Context) -> list[Effect]:
        settings = {entry.name: entry.value for entry in context.settings}
        environment = {entry.name: entry.value for entry in context.environment}
        chosen = {}
        for option, names in OPTIONS.items():
            name = next((name for name in names if environment.get(name)), None)
            if name:
                chosen[option] = one_line(name, environment[name])
        if not chosen:
            log.log(log.Level.DEBUG, "no proxy, index or certificates: pip is left as it is")
            return []
        if "omero.directory" not in settings:
            raise Err(HookError_Missing(Missing("omero.directory", "grant it: settings = [\"omero.directory\"]")))
        path = settings["omero.directory"] + "/etc/pip.conf"
        secret = any(holds_password(value) for value in chosen.values())
        return [
            Effect_File(
                File(
                    path=path,
                    content=pip_conf(chosen).encode(),
                    secret=secret,
                    mode=0o600 if secret else 0o644,
                    owner=Owner.SERVICE_USER,
                    lock=None,
                )
            ),
            Effect_Variable(Variable(name="PIP_CONFIG_FILE", value=path, secret=False)),
        ]


def pip_conf(options: dict[str, str]) -> str:
    """The file's text. pip takes a ``%`` as it is."""
    document = configparser.RawConfigParser()
    document["global"] = options
    text = io.StringIO()
    text.write("# Written at every start by the site hook pip-conf.\n")
    document.write(text)
    return text.getvalue()


def one_line(name: str, value: str) -> str:
    """The value, which may hold a password: no error shows it."""
    if any(ord(character) < 32 for character in value):
        raise Err(HookError_Invalid(Invalid(name, "holds a line break", "give one address in one line")))
    return value.strip()


def holds_password(value: str) -> bool:
    try:
        return urlsplit(value).password is not None
    except ValueError:
        return "@" in value
