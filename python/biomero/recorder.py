"""Recording by one process of ``processor events record lines`` for all that this process records in a database.

A command whose answer has not come is told again, to a new process where the old one is gone, under the same id: the worker records it
once. A process made by ``fork`` has recorders of its own.
"""

from __future__ import annotations

import atexit
import os
import time

from . import worker
from .later import TYPE_CHECKING, json, select, subprocess, tempfile, threading

if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence

# For one that is no longer told anything.
_ENDING = 5.0


class _Gone(Exception):
    """The process has ended without an answer."""

    def __init__(self, exit_code: int, said: str) -> None:
        self.exit_code, self.said = exit_code, said


class _Process:
    """One process and its pipes."""

    def __init__(self, doing: str, environment: Dict[str, str]) -> None:
        self.environment = environment
        self._errors = tempfile.TemporaryFile()
        try:
            self._child = subprocess.Popen(
                [worker.program(), "events", "record", "lines"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
            )
        except FileNotFoundError:
            self._errors.close()
            raise worker.absent(doing) from None
        assert self._child.stdin is not None and self._child.stdout is not None
        self._input, self._output = self._child.stdin.fileno(), self._child.stdout.fileno()
        os.set_blocking(self._input, False)
        self.has_answered = False

    def ask(self, line: bytes, until: float) -> bytes:
        """Writes a line and reads one. Whatever interrupts it, the process has to go: its answer would be taken for the next one's."""
        answer = bytearray()
        waiting = select.poll()
        waiting.register(self._input, select.POLLOUT)
        waiting.register(self._output, select.POLLIN)
        while not answer.endswith(b"\n"):
            left = until - time.monotonic()
            events = waiting.poll(left * 1000) if left > 0 else []
            if not events:
                raise TimeoutError
            for descriptor, _ in events:
                if descriptor == self._output:
                    piece = os.read(descriptor, 65536)
                    if not piece:
                        raise self._gone()
                    answer += piece
                    continue
                try:
                    line = line[os.write(descriptor, line) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    line = b""
                if not line:
                    waiting.unregister(descriptor)
        self.has_answered = True
        return bytes(answer)

    def _gone(self) -> _Gone:
        try:
            code = self._child.wait(_ENDING)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        return _Gone(code, said or f"it ended with {code} before it had answered")

    def end(self, patience: float = 0.0) -> None:
        """Ends it: what was answered is recorded. Killed where it is not done within ``patience`` seconds."""
        self.let_go()
        try:
            self._child.wait(patience)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def let_go(self) -> None:
        """Closes what this process has of it: the end of its input is the end of it."""
        for pipe in (self._child.stdin, self._child.stdout, self._errors):
            if pipe is not None:
                pipe.close()

    def disown(self) -> None:
        """Where it is the child of another process."""
        self.let_go()
        # Nobody waits for it here.
        self._child.returncode = 0


class Recorder:
    """Records in one database. Threads take turns; the handler of a signal that comes meanwhile has a process of its own."""

    def __init__(self, environment: Dict[str, str]) -> None:
        self._environment = environment
        self._turn = threading.RLock()
        self._free: Optional[_Process] = None
        self._living: List[_Process] = []

    def record(self, words: Sequence[str], timeout: float = worker.DEADLINE) -> Dict[str, Any]:
        """Records a command of ``processor events record``, given as its words with ``--command-id``."""
        doing = "processor events record " + words[0]
        line = json.dumps(list(words), ensure_ascii=False).encode() + b"\n"
        with self._turn:
            told = json.loads(self._answer(doing, line, timeout))
        if "error" in told:
            raise worker.WorkerError(doing, told["exit_code"], "\n".join([told["error"], *told["hints"]]))
        return told

    def _answer(self, doing: str, line: bytes, timeout: float) -> bytes:
        until = time.monotonic() + timeout
        is_repeated = False
        while True:
            process = self._take(doing)
            try:
                answer = process.ask(line, until)
            except _Gone as gone:
                self._end(process)
                # One that has answered before was ended by somebody; one that cannot begin says why.
                if is_repeated or (gone.exit_code > 0 and not process.has_answered):
                    raise worker.WorkerError(doing, max(gone.exit_code, 0) or 69, gone.said) from None
                is_repeated = True
                continue
            except TimeoutError:
                self._end(process)
                raise worker.WorkerError(doing, 69, f"it has not answered within {timeout:.0f} s") from None
            except BaseException:
                self._end(process)
                raise
            self._give_back(process)
            return answer

    def _take(self, doing: str) -> _Process:
        environment = {**os.environ, **self._environment}
        process, self._free = self._free, None
        if process is not None and process.environment != environment:
            self._end(process, _ENDING)
            process = None
        if process is None:
            process = _Process(doing, environment)
            self._living.append(process)
        return process

    def _give_back(self, process: _Process) -> None:
        if self._free is None:
            self._free = process
        else:
            self._end(process, _ENDING)

    def _end(self, process: _Process, patience: float = 0.0) -> None:
        self._living.remove(process)
        process.end(patience)

    def end(self) -> None:
        """Ends what runs, unless a thread that is not waited for still has its turn; the next command starts another."""
        if not self._turn.acquire(timeout=_ENDING):
            return
        try:
            self._free = None
            for process in list(self._living):
                self._end(process, _ENDING)
        finally:
            self._turn.release()

    def forget(self) -> None:
        """In a process that was forked: the processes, and whoever had his turn, are the parent's."""
        living, self._living, self._free = self._living, [], None
        self._turn = threading.RLock()
        for process in living:
            process.disown()


_recorders: Dict[Optional[str], Recorder] = {}


def of(sqlalchemy_url: Optional[str]) -> Recorder:
    """That of a database; without a URL, of that which the worker is configured with."""
    found = _recorders.get(sqlalchemy_url)
    if found is None:
        environment = {"SQLALCHEMY_URL": sqlalchemy_url} if sqlalchemy_url else {}
        found = _recorders.setdefault(sqlalchemy_url, Recorder(environment))
    return found


@atexit.register
def _end() -> None:
    for recorder in list(_recorders.values()):
        recorder.end()


def _forget() -> None:
    for recorder in list(_recorders.values()):
        recorder.forget()


os.register_at_fork(after_in_child=_forget)
