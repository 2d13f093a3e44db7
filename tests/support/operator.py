"""The operator face of a running server: its subcommands, and its socket spoken to directly."""

import http.client
import json
import os
import re
import signal
import socket

from support import server as servers
from support.aws import Account

NOBODY = 65534


class OperatorConnection(http.client.HTTPConnection):
    """HTTP over the socket in a data directory."""

    def __init__(self, data):
        super().__init__("operator.sock", timeout=30)
        self.data = data

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        # By way of the open directory: the path of a test's directory may be longer than an address holds.
        directory = os.open(self.data, os.O_RDONLY)
        try:
            self.sock.connect(f"/proc/self/fd/{directory}/operator.sock")
        finally:
            os.close(directory)


class Operators:
    """Gives commands to the server over this data directory; `where` is the option by which subcommands find it."""

    def __init__(self, data, *where):
        self.data = data
        self.where = where or ("--data", data)

    def run(self, *arguments, **options):
        """A subcommand; answers its status and everything it printed."""
        return servers.run(*arguments, *self.where, **options)

    def obeyed(self, *arguments, **options):
        """A subcommand that must succeed; answers what it printed."""
        status, output = self.run(*arguments, **options)
        assert status == 0, output
        return output

    def refused(self, code, *arguments, **options):
        """A subcommand that must be refused for this reason, in one line."""
        status, output = self.run(*arguments, **options)
        assert status == 1 and output.rstrip().endswith(f"({code})"), output
        assert output.count("\n") == 1, output

    def root(self, server, *arguments, **options):
        """The account whose root credentials a subcommand prints."""
        return Account(server, **credentials(self.obeyed(*arguments, **options)))

    def create(self, server, *arguments):
        return self.root(server, "account", "create", *arguments)

    def status(self):
        """What `status` prints, by name."""
        lines = self.obeyed("status").splitlines()
        return {line[:16].strip(): line[16:] for line in lines}

    def records(self):
        """What the audit log says of commands and of who was turned away, in order."""
        segments = sorted((self.data / "audit").glob("segment-*.log"))
        lines = [json.loads(line) for path in segments for line in path.read_text().splitlines()]
        found = [line["record"] for line in lines if "record" in line]
        return [record for record in found if record["userIdentity"].get("type") == "Operator"]

    def ask(self, path, body=b"", method="POST"):
        """One request to the socket as given; answers status and decoded body."""
        connection = OperatorConnection(self.data)
        try:
            connection.request(method, path, body=body if isinstance(body, bytes) else json.dumps(body))
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()


def credentials(output):
    """The printed root credentials, as `Account` takes them."""
    number = re.search(r"^account (\d{12})$", output, re.MULTILINE)[1]
    access_key = re.search(r"^AWS_ACCESS_KEY_ID=(AKIA[A-Z2-7]{16})$", output, re.MULTILINE)[1]
    secret = re.search(r"^AWS_SECRET_ACCESS_KEY=([A-Za-z0-9/+]{40})$", output, re.MULTILINE)[1]
    return {"number": number, "account": access_key, "secret": secret}


class AsUser:
    """Work that another user does in a directory, in a process of its own. `said` is the lines that it gave back."""

    def __init__(self, uid, directory, work):
        self._lines, write = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), "rw", strict=True))
        self.process = os.fork()
        if self.process:
            write.close()
            return
        # No other program is run: the other user may not be allowed to read Python's.
        try:
            # Before the change of user, who need not be allowed to enter the directories above.
            os.chdir(directory)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            for line in work():
                print(line, file=write, flush=True)
        except OSError as error:
            print(type(error).__name__, file=write, flush=True)
        finally:
            os._exit(0)

    def line(self):
        """The next line that it says; empty when it has ended."""
        return self._lines.readline().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        self._lines.close()
