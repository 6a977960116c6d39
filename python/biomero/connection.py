"""Commands and files over one SSH connection, by OpenSSH.

The first command connects; a session of that connection runs each one. It ends with this process, however that ends: the master
is the remote end of a pipe that only we hold. Commands are the standard input of the cluster's ``/bin/sh``: no list of processes
shows them, and values of variables are quoted in one place.
"""

from __future__ import annotations

import os
import time

from .later import (
    TYPE_CHECKING,
    contextlib,
    hashlib,
    re,
    select,
    shlex,
    shutil,
    signal,
    subprocess,
    tempfile,
    uuid,
    weakref,
)

if TYPE_CHECKING:
    from typing import IO, Any, Dict, List, Optional, Union

# Packing many images takes long; a connection that is dead is noticed by OpenSSH within two minutes.
DEADLINE = 6 * 3600.0
CONNECTING = 60.0
# What a connection that is lost takes to be gone.
_ENDING = 1.0
# What is kept of an answer; files are not held.
LARGEST = 64 * 1024 * 1024

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
# The first line of standard input is the command, the rest its input.
_BY_LINE = "exec /bin/sh -c 'IFS= read -r line; eval \"$line\"'"

# It stays when we are killed, until the connection has ended with us; then the folder is removed, too.
_KEEPER = '"$@"; code=$?; rm -rf -- "$0"; exit "$code"'


class SSHException(Exception):
    """The cluster cannot be reached, or did not do what was asked."""


class UnexpectedExit(Exception):
    """A command ended with another code than 0; ``result`` tells all."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"the command ended with {result.exited}: {result.command}\n{result.stderr.strip()}")
        self.result = result


class Result:
    """What came of a command; true when it ended with 0."""

    def __init__(
        self,
        stdout: str = "",
        stderr: str = "",
        exited: int = 0,
        command: str = "",
        env: Optional[Dict[str, str]] = None,
        connection: Any = None,
    ) -> None:
        self.stdout, self.stderr, self.exited = stdout, stderr, exited
        self.command, self.env, self.connection = command, env or {}, connection

    @property
    def ok(self) -> bool:
        return self.exited == 0

    @property
    def failed(self) -> bool:
        return not self.ok

    @property
    def return_code(self) -> int:
        return self.exited

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return f"{self.command!r} ended with {self.exited}\n{self.stdout}{self.stderr}"


class TransferResult:
    """Which file is where."""

    def __init__(self, local: str, remote: str, connection: Any = None) -> None:
        self.local, self.remote, self.connection = local, remote, connection
        self.orig_local, self.orig_remote = local, remote

    def __str__(self) -> str:
        return f"{self.local} and {self.remote}"


class Connection:
    """A host of the SSH configuration. Nothing is asked of it before the first command."""

    def __init__(
        self,
        host: str,
        user: Optional[str] = None,
        port: Optional[int] = None,
        connect_timeout: Optional[float] = None,
    ) -> None:
        self.host, self.user, self.port = host, user, port
        self.connect_timeout = connect_timeout
        self._folders: List[str] = []
        self._master: Optional[_Master] = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def is_connected(self) -> bool:
        return self._master is not None and self._master.lives()

    def _is_lost(self) -> bool:
        """Whether the connection ends now, of which its sessions know first."""
        return self._master is None or self._master.has_ended(_ENDING)

    def open(self) -> None:
        """Connects, where that has not been done."""
        if not self.is_connected:
            self.close()
            self._master = _Master(self._options(), self.host)

    def close(self) -> None:
        """Ends the connection; the next command makes another."""
        if self._master is not None:
            self._master.end()
            self._master = None

    def cd(self, path: Union[str, os.PathLike]) -> _Within:
        """Commands within run in this folder of the cluster."""
        return _Within(self._folders, str(path))

    def run(
        self,
        command: str,
        env: Optional[Dict[str, Any]] = None,
        warn: bool = False,
        timeout: Optional[float] = None,
        **_: Any,
    ) -> Result:
        """Runs a command of the shell; raises :class:`UnexpectedExit` when it fails, unless ``warn``."""
        told = {name: str(value) for name, value in (env or {}).items()}
        for name in told:
            if re.fullmatch(_NAME, name) is None:
                raise ValueError(f"{name!r} is no name of a variable: correct the name of the parameter")
        mark = f"biomero-{uuid.uuid4().hex}"
        lines = [f"echo {mark}"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(told.items())]
        lines += [f"cd {shlex.quote(folder)} || exit" for folder in self._folders]
        lines += ["{", command, "} < /dev/null", "exit $?", ""]
        with tempfile.TemporaryFile() as output:
            code, errors = self._session("exec /bin/sh", "\n".join(lines).encode(), None, output, timeout)
            text = _after(mark, output)
        result = Result(text, errors, code, command, told, self)
        if code == 255 and not text and self._is_lost():
            raise SSHException(f"the connection to {self.host} was lost: {errors.strip()}")
        if code and not warn:
            raise UnexpectedExit(result)
        return result

    def put(self, local: Any, remote: str = "") -> TransferResult:
        """Sends a file, by its name or open; whole, and compared by its SHA-256, or not at all."""
        name = str(local) if isinstance(local, (str, os.PathLike)) else getattr(local, "name", "<file>")
        base = os.path.basename(name)
        place = f"target={_line(remote or base)}; [ ! -d \"$target\" ] || target=\"$target\"/{_line(base)}; "
        command = (
            place + 'set -e; trap \'rm -f "$target.part"\' EXIT; cat > "$target.part"; '
            'sum=$(sha256sum < "$target.part"); mv -f "$target.part" "$target"; echo "$sum"; printf %s "$target"'
        )
        with contextlib.ExitStack() as stack:
            source: IO[bytes]
            if isinstance(local, (str, os.PathLike)):
                source = stack.enter_context(open(local, "rb"))
            else:
                source = stack.enter_context(_binary(local))
            digest = hashlib.sha256()
            for piece in iter(lambda: source.read(1 << 20), b""):
                digest.update(piece)
            source.seek(0)
            mark = f"biomero-{uuid.uuid4().hex}"
            output = stack.enter_context(tempfile.TemporaryFile())
            line = f"echo {mark}; {command}\n".encode()
            code, errors = self._session(_BY_LINE, line, source, output, None)
            told, _, placed = _after(mark, output).partition("\n")
        if code or told.split(" ")[0] != digest.hexdigest():
            raise SSHException(f"cannot send {name} to {self.host}: {errors.strip() or 'what arrived differs; try again'}")
        return TransferResult(name, placed, self)

    def get(self, remote: str, local: Optional[str] = None) -> TransferResult:
        """Fetches a file, into a folder or under a name; whole or not at all."""
        target = local or os.path.basename(remote)
        if target.endswith(os.sep) or os.path.isdir(target):
            os.makedirs(target, exist_ok=True)
            target = os.path.join(target, os.path.basename(remote))
        beside = f"{target}.part"
        mark = f"biomero-{uuid.uuid4().hex}"
        command = f"echo {mark}; target={_line(remote)}; sha256sum < \"$target\" && exec cat < \"$target\"\n"
        try:
            with tempfile.TemporaryFile(dir=os.path.dirname(target) or ".") as output:
                code, errors = self._session(_BY_LINE, command.encode(), None, output, None)
                if code:
                    raise FileNotFoundError(f"cannot fetch {remote} from {self.host}: {errors.strip()}")
                _seek_behind(mark, output)
                told = output.readline().split(b" ")[0].decode()
                digest = hashlib.sha256()
                with open(beside, "wb") as kept:
                    for piece in iter(lambda: output.read(1 << 20), b""):
                        digest.update(piece)
                        kept.write(piece)
            if told != digest.hexdigest():
                raise SSHException(f"{remote} of {self.host} changed while it was fetched: try again")
            os.replace(beside, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(beside)
        return TransferResult(target, remote, self)

    def _options(self) -> List[str]:
        options = ["-o", "BatchMode=yes", "-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=3"]
        options += ["-o", f"ConnectTimeout={int(self.connect_timeout or 20)}"]
        configuration = os.environ.get("BIOMERO_INIT_SLURM__SSH_CONFIG")
        if configuration:
            options += ["-F", configuration]
        # The worker's setting: `strict`, as shipped, or `accept-new`.
        accepts = os.environ.get("BIOMERO_INIT_SLURM__HOST_KEYS") == "accept-new"
        options += ["-o", f"StrictHostKeyChecking={'accept-new' if accepts else 'yes'}"]
        if self.user:
            options += ["-l", self.user]
        if self.port:
            options += ["-p", str(self.port)]
        return options

    def _session(
        self, remote: str, head: bytes, rest: Optional[IO[bytes]], output: IO[bytes], timeout: Optional[float]
    ) -> tuple[int, str]:
        self.open()
        assert self._master is not None
        with tempfile.TemporaryFile() as errors:
            arguments = ["ssh", "-S", self._master.path, *self._options(), "--", self.host, remote]
            with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=output, stderr=errors) as session:
                assert session.stdin is not None
                try:
                    with contextlib.suppress(BrokenPipeError):
                        session.stdin.write(head)
                        if rest is not None:
                            shutil.copyfileobj(rest, session.stdin, 1 << 20)
                        session.stdin.flush()
                    with contextlib.suppress(BrokenPipeError):
                        session.stdin.close()
                    code = session.wait(timeout or DEADLINE)
                except subprocess.TimeoutExpired:
                    raise SSHException(f"{self.host} did not answer within {timeout or DEADLINE:.0f} s") from None
                finally:
                    if session.poll() is None:
                        session.kill()
            errors.seek(0)
            return code, errors.read(LARGEST).decode(errors="replace")


class _Within:
    """A folder, for as long as the block of a ``with`` runs."""

    def __init__(self, folders: List[str], path: str) -> None:
        self._folders, self._path = folders, path

    def __enter__(self) -> None:
        self._folders.append(self._path)

    def __exit__(self, *_: Any) -> None:
        self._folders.pop()


class _Master:
    """The connection that sessions share, in a group of processes of its own: what is sent to ours does not end it in between."""

    def __init__(self, options: List[str], host: str) -> None:
        folder = tempfile.mkdtemp(prefix="biomero-")
        self.path = os.path.join(folder, "master")
        errors = tempfile.TemporaryFile()
        self._child = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, folder, "ssh", "-M", "-S", self.path, *options]
            + ["--", host, "echo biomero-ready; exec cat > /dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        self.end = weakref.finalize(self, _end, self._child, errors, folder, os.getpid())
        assert self._child.stdout is not None
        told, until = b"", time.monotonic() + CONNECTING
        while b"biomero-ready" not in told:
            ready, _, _ = select.select([self._child.stdout], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(self._child.stdout.fileno(), 65536) if ready else b""
            if not piece:
                errors.seek(0)
                said = errors.read(4096).decode(errors="replace").strip()
                self.end()
                raise SSHException(f"cannot connect to {host}: {said or 'no answer'}; see `processor slurm validate`")
            told = (told + piece)[-65536:]

    def lives(self) -> bool:
        return self._child.poll() is None

    def has_ended(self, patience: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(patience)
        return not self.lives()


def _end(child: subprocess.Popen[bytes], errors: IO[bytes], folder: str, owner: int) -> None:
    for pipe in (child.stdin, child.stdout, errors):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if os.getpid() != owner:
        # A process that was forked: the connection is the parent's.
        return
    try:
        child.wait(2)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _line(path: str) -> str:
    if "\n" in path:
        raise ValueError(f"{path!r} has a line end: give the file another name")
    return shlex.quote(path)


def _binary(source: Any) -> IO[bytes]:
    """An open file of text or bytes, as bytes that can be read twice."""
    content = source.read()
    copy = tempfile.TemporaryFile()
    copy.write(content.encode() if isinstance(content, str) else content)
    copy.seek(0)
    return copy


def _seek_behind(mark: str, output: IO[bytes]) -> None:
    output.seek(0)
    for line in output:
        if line.strip() == mark.encode():
            return


def _after(mark: str, output: IO[bytes]) -> str:
    """What was written behind the mark: before it is what start-up files of the login shell say."""
    _seek_behind(mark, output)
    return output.read(LARGEST).decode(errors="replace")
