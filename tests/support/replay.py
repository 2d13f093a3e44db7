"""What is on the disk after a loss of power, worked out from a trace of the server's system calls.

A killed process keeps its page cache, so kill -9 says nothing about syncs. This replays the writes that strace saw:
a byte counts only if a sync of its file (or of its directory, for names) ended before the chosen moment. Names are
treated kindly: a file is there once it was created, as on ext4 after the first sync; its contents are not."""

import os
import pathlib
import re
import signal
import subprocess

CALLS = "openat,write,pwrite64,pwritev,writev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat"
LINE = re.compile(r"^(?P<thread>\d+)\s+(?P<time>\d+\.\d+) (?P<rest>.*)$")
CALL = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+).*<(?P<seconds>\d+\.\d+)>$")
BYTES = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(?P<cut>\.\.\.)?')
FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")


class Replay:
    """The traced writes below one directory, in order."""

    @staticmethod
    def tracer(trace):
        """The command that runs the server under the tracer."""
        return ["strace", "-f", "-ttt", "-T", "-y", "-xx", "-s", "4194304", "-e", f"trace={CALLS}", "-o", str(trace)]

    @staticmethod
    def kill(server):
        """Kills the traced server, not only its tracer."""
        children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        try:
            server.process.wait(20)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()

    def __init__(self, trace, root):
        self.root = str(root)
        self.events = []
        started = {}
        for line in pathlib.Path(trace).read_text().splitlines():
            found = LINE.match(line)
            if not found:
                continue
            thread, time, rest = found["thread"], float(found["time"]), found["rest"]
            if rest.endswith("<unfinished ...>"):
                started[thread] = rest.removesuffix("<unfinished ...>").rstrip()
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)$", rest)
            if resumed:
                rest = started.pop(thread, "") + resumed[1]
            call = CALL.match(rest)
            if call and int(call["result"]) >= 0:
                # strace stamps a call in one piece when it begins, a resumed one when it ends.
                ended = time if resumed else time + float(call["seconds"])
                self._note(ended, call["name"], call["arguments"], int(call["result"]))

    def _note(self, time, name, arguments, result):
        """One finished call, at the time of its end: a sync must not count before it returned."""
        file = FILE.match(arguments)
        path = decoded(file["path"]) if file else None
        if name == "openat":
            opened = BYTES.search(arguments)
            path = bytes.fromhex(opened[1].replace("\\x", "")).decode()
            if self._ours(path) and "O_CREAT" in arguments:
                self.events.append((time, "create", path, None, None))
                if "O_TRUNC" in arguments:
                    self.events.append((time, "truncate", path, 0, None))
        elif path and self._ours(path):
            self._note_on_file(time, name, arguments, result, path)
        elif name in ("unlink", "unlinkat"):
            path = bytes.fromhex(BYTES.search(arguments)[1].replace("\\x", "")).decode()
            if self._ours(path):
                self.events.append((time, "unlink", path, None, None))
        elif name.startswith("rename"):
            source, target = (
                bytes.fromhex(found[1].replace("\\x", "")).decode() for found in BYTES.finditer(arguments)
            )
            if self._ours(target):
                self.events.append((time, "rename", source, target, None))

    def _note_on_file(self, time, name, arguments, result, path):
        if name in ("fsync", "fdatasync"):
            self.events.append((time, "sync", path, None, None))
        elif name == "ftruncate":
            self.events.append((time, "truncate", path, int(arguments.rsplit(", ", 1)[1]), None))
        elif name in ("write", "pwrite64", "writev", "pwritev"):
            found = list(BYTES.finditer(arguments))
            assert found and not any(part["cut"] for part in found), "the trace cut a write short"
            data = bytes.fromhex("".join(part[1] for part in found).replace("\\x", ""))[:result]
            if name in ("pwrite64", "pwritev"):
                self.events.append((time, "write", path, int(arguments.rsplit(", ", 1)[1]), data))
            else:
                self.events.append((time, "append", path, None, data))

    def _ours(self, path):
        return path.startswith(self.root + "/")

    def write(self, directory, moment, last_sync=None):
        """Writes the directory as a disk would hold it when power failed at `moment`.

        `last_sync`: syncs after this moment are taken for never called, to see whether anybody notices."""
        cached, durable = {}, {}
        for time, kind, path, extra, data in self.events:
            if time > moment:
                break
            if kind == "create":
                cached.setdefault(path, bytearray())
                durable.setdefault(path, bytearray())
            elif kind == "truncate":
                resize(cached.setdefault(path, bytearray()), extra)
            elif kind == "write":
                put(cached.setdefault(path, bytearray()), extra, data)
            elif kind == "append":
                content = cached.setdefault(path, bytearray())
                put(content, len(content), data)
            elif kind == "sync" and path in cached and time <= (last_sync or moment):
                durable[path] = bytearray(cached[path])
            elif kind == "unlink":
                cached.pop(path, None)
                durable.pop(path, None)
            elif kind == "rename" and path in cached:
                cached[extra] = cached.pop(path)
                durable[extra] = durable.pop(path, bytearray())
        for path, content in durable.items():
            if path.endswith("-shm"):
                continue
            target = pathlib.Path(directory) / path.removeprefix(self.root + "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o600)
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)


def decoded(path):
    """A path as `strace -y -xx` prints it."""
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def resize(content, size):
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def put(content, offset, data):
    resize(content, max(len(content), offset + len(data)))
    content[offset : offset + len(data)] = data
