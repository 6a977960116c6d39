"""Asking the worker: its program, and who serves at its socket."""

from __future__ import annotations

import os

from .later import TYPE_CHECKING, json, shutil, socket, subprocess

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence

# Nothing of the history takes longer; making a cluster ready says its own.
DEADLINE = 300.0
# Of an answer over HTTP.
LARGEST = 16 * 1024 * 1024

NOT_RECORDED = 66


class WorkerError(Exception):
    """The worker could not do something: ``exit_code`` is one of docs/events.md."""

    def __init__(self, doing: str, exit_code: int, message: str) -> None:
        super().__init__(f"{doing}: {message}")
        self.exit_code = exit_code


def program() -> str:
    """The worker's program: ``$BIOMERO_PROCESSOR``, or ``processor`` on the PATH or in /usr/local/bin."""
    named = os.environ.get("BIOMERO_PROCESSOR") or shutil.which("processor")
    return named or "/usr/local/bin/processor"


def absent(doing: str) -> WorkerError:
    """There is no such program."""
    return WorkerError(doing, 69, f"{program()} is not there; set BIOMERO_PROCESSOR to the program")


def ask(
    arguments: Sequence[str],
    environment: Optional[Dict[str, str]] = None,
    timeout: float = DEADLINE,
    accept: Sequence[int] = (0,),
    files: Sequence[int] = (),
) -> List[Any]:
    """Runs a verb that knows ``--json``; an object for each line of its answer. It is given open ``files``, as ``/dev/fd/N``."""
    doing = "processor " + " ".join(arguments[:3])
    try:
        ended = subprocess.run(
            [program(), *arguments],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            pass_fds=files,
        )
    except FileNotFoundError:
        raise absent(doing) from None
    except subprocess.TimeoutExpired:
        raise WorkerError(doing, 69, f"it has not ended within {timeout:.0f} s") from None
    if ended.returncode not in accept:
        said = ended.stderr.decode(errors="replace").strip() or f"it ended with {ended.returncode}"
        raise WorkerError(doing, ended.returncode, said)
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith(b"{")]


def socket_path() -> str:
    """Where ``processor serve`` answers, unless ``BIOMERO_INIT_API__SOCKET`` says otherwise."""
    named = os.environ.get("BIOMERO_INIT_API__SOCKET")
    if named:
        return named
    if os.path.exists("/run/biomero/processor.sock"):
        return "/run/biomero/processor.sock"
    state = os.environ.get("XDG_RUNTIME_DIR") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "biomero", "processor.sock")


def fetch(path: str, timeout: float = 10.0) -> Optional[Any]:
    """``GET path`` of who serves; ``None`` where nobody does, or there is no such thing."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout)
            peer.connect(socket_path())
            peer.sendall(f"GET {path} HTTP/1.0\r\nHost: worker\r\n\r\n".encode())
            answer = bytearray()
            while len(answer) < LARGEST:
                piece = peer.recv(65536)
                if not piece:
                    break
                answer += piece
    except OSError:
        return None
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        return None
    return json.loads(body)
