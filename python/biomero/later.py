"""Modules of the standard library that are imported once something of them is asked for.

A script imports this package for its dialog alone, too, and each script is a process of its own. ``re``, ``json``, ``subprocess`` and
what they need take three times as long to be imported as all that is here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import configparser
    import contextlib
    import datetime
    import hashlib
    import importlib
    import json
    import logging
    import re
    import select
    import shlex
    import shutil
    import signal
    import socket
    import subprocess
    import tempfile
    import threading
    import uuid
    import weakref
else:

    class _Later:
        def __init__(self, name):
            self._name = name

        def __getattr__(self, attribute):
            return getattr(__import__(self._name), attribute)

    configparser, contextlib, datetime = _Later("configparser"), _Later("contextlib"), _Later("datetime")
    hashlib, importlib, json, logging = _Later("hashlib"), _Later("importlib"), _Later("json"), _Later("logging")
    re, select, shlex, shutil = _Later("re"), _Later("select"), _Later("shlex"), _Later("shutil")
    signal, socket, subprocess, tempfile = _Later("signal"), _Later("socket"), _Later("subprocess"), _Later("tempfile")
    threading, uuid, weakref = _Later("threading"), _Later("uuid"), _Later("weakref")
