#!/usr/bin/env python3
"""Writes the golden files beside this script with OMERO's own omero.config.ConfigXml.

    python3 -m venv venv && venv/bin/pip install portalocker future appdirs
    venv/bin/pip install --no-deps omero-py==5.23.0
    venv/bin/python make.py

`omero` itself imports Ice, which ConfigXml does not use: a bare package of that name stands in for it, so that
Ice need not be built. Each NAME.before.xml (absent for an empty start) becomes NAME.after.xml; the date in the
comment is masked, since it is the one thing that is not the same twice.
"""

import importlib.util
import os
import pathlib
import re
import sys
import tempfile
import types

HERE = pathlib.Path(__file__).parent

place = next(pathlib.Path(p) / "omero" for p in sys.path if (pathlib.Path(p) / "omero" / "config.py").exists())
package = types.ModuleType("omero")
package.__path__ = [str(place)]
sys.modules["omero"] = package
spec = importlib.util.spec_from_file_location("omero.config", place / "config.py")
config = importlib.util.module_from_spec(spec)
sys.modules["omero.config"] = config
spec.loader.exec_module(config)

# name: (OMERO_CONFIG, properties). tests.rs has the same table.
CASES = {
    "empty_start": (None, [("a.b1", "c")]),
    "three": (None, [("a.b1", "c"), ("omero.master.host", "omeroserver"), ("omero.scripts.timeout", "604800000")]),
    "existing": (None, [("omero.data.dir", "/data"), ("omero.master.host", "other")]),
    "awkward_values": (
        None,
        [
            ("v.amp", "a&b;&amp;"),
            ("v.angle", "<x>"),
            ("v.empty", ""),
            ("v.line", "one\ntwo\r\nthree\tfour"),
            ("v.quote", "\"double\" 'single'"),
            ("v.unicode", "Zürich \u03bcm \U0001f52c"),
        ],
    ),
    "other_profile_empty_start": ("other", [("a.b1", "c")]),
    "other_profile": ("other", [("a.b1", "c")]),
    "many_profiles": (None, [("a.b1", "c")]),
    "profile_missing": (None, [("a.b1", "c")]),
    "profile_missing_other": ("other", [("a.b1", "c")]),
    "ldap_4_2_0": (None, [("a.b1", "c")]),
    "version_4_2_1": (None, [("a.b1", "c")]),
    "hand_written": (None, [("a.b1", "c")]),
}

for name, (profile, properties) in CASES.items():
    os.environ.pop("OMERO_CONFIG", None)
    if profile is not None:
        os.environ["OMERO_CONFIG"] = profile
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "config.xml"
        before = HERE / f"{name}.before.xml"
        if before.exists():
            path.write_bytes(before.read_bytes())
        # One opening for each property, as `omero config set` does it.
        for key, value in properties:
            xml = config.ConfigXml(str(path))
            xml[key] = value
            xml.close()
        text = path.read_bytes().decode("utf-8")
        assert os.listdir(directory) == ["config.xml"], os.listdir(directory)
    text = re.sub(r"<!--.*?-->", "<!--COMMENT-->", text, flags=re.S)
    (HERE / f"{name}.after.xml").write_bytes(text.encode("utf-8"))
    print(name, len(text))
