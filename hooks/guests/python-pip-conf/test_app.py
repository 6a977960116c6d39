"""Run where the bindings are: ``cargo xtask guests`` does."""

import unittest

from componentize_py_types import Err
from wit_world.imports import log
from wit_world.imports.types import Context, Effect_File, Effect_Variable, Entry, Identity

from app import Hook

# On this machine nobody listens to what a hook logs.
log.log = lambda level, line: None


def context(**environment: str) -> Context:
    return Context(
        settings=[Entry("omero.directory", "/omero")],
        environment=[Entry(name, value) for name, value in environment.items()],
        identity=Identity(1000, 1000, 1000, 1000, "omero-server", "/opt/omero/server"),
        files=[],
        addresses=[],
    )


class PipConf(unittest.TestCase):
    def test_what_is_not_set_is_not_written(self):
        self.assertEqual(Hook().plan(context()), [])

    def test_a_site_behind_a_proxy_with_an_index_of_its_own(self):
        written, variable = Hook().plan(
            context(
                HTTP_PROXY="http://other:1",
                https_proxy="http://proxy.example.org:3128",
                BIOMERO_PIP_INDEX="https://pypi.example.org/a%20b/simple",
                REQUESTS_CA_BUNDLE="/omero/etc/site-ca-bundle.pem",
            )
        )
        self.assertIsInstance(written, Effect_File)
        self.assertEqual(
            written.value.content.decode(),
            "# Written at every start by the site hook pip-conf.\n"
            "[global]\n"
            "proxy = http://proxy.example.org:3128\n"
            "index-url = https://pypi.example.org/a%20b/simple\n"
            "cert = /omero/etc/site-ca-bundle.pem\n\n",
        )
        self.assertEqual((written.value.secret, written.value.mode), (False, 0o644))
        self.assertIsInstance(variable, Effect_Variable)
        self.assertEqual((variable.value.name, variable.value.value), ("PIP_CONFIG_FILE", "/omero/etc/pip.conf"))

    def test_a_password_makes_the_file_secret(self):
        written, _ = Hook().plan(context(BIOMERO_PIP_INDEX="https://worker:hunter2@pypi.example.org/simple"))
        self.assertEqual((written.value.secret, written.value.mode), (True, 0o600))

    def test_a_line_break_is_refused_and_not_shown(self):
        with self.assertRaises(Err) as refused:
            Hook().plan(context(HTTPS_PROXY="http://worker:hunter2\n@proxy"))
        self.assertEqual(refused.exception.value.value.place, "HTTPS_PROXY")
        self.assertNotIn("hunter2", repr(refused.exception))


if __name__ == "__main__":
    unittest.main()
