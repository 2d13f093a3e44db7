"""The built binary as a process: start it, talk to it, stop it, kill it.

Every test goes through `Server`, so that each of them also checks what must always hold: the process prints where it
listens, never panics, and leaves with status 0 when asked to."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = pathlib.Path(os.environ.get("CLAVIGER_BINARY", TARGET / "release" / "claviger"))
REGION = "eu-central-1"
START_SECONDS = 20
STOP_SECONDS = 30

_session = boto3.Session()
_session_lock = threading.Lock()


class StartError(Exception):
    """The process ended before it listened; carries its exit status and what it printed."""

    def __init__(self, status, output):
        super().__init__(f"exit status {status}: {output}")
        self.status = status
        self.output = output


class Server:
    """One process. `url` is where it listens; `log` is everything it printed."""

    def __init__(self, *arguments, prefix=(), environment=None, directory=None, typed=""):
        self.arguments = [str(argument) for argument in arguments]
        self.lines = []
        self._listening = threading.Event()
        self._clients = {}
        self.ca_file = None
        self.url = None
        self.ended = False
        started = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, str(BINARY), *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=directory,
            text=True,
            errors="replace",
        )
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(typed)
            self.process.stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        while not self._listening.wait(0.005):
            if self.process.poll() is not None:
                self._reader.join(5)
                raise StartError(self.process.returncode, self.log)
            if time.monotonic() - started > START_SECONDS:
                self.kill()
                raise AssertionError(f"not listening after {START_SECONDS} s:\n{self.log}")
        self.start_seconds = time.monotonic() - started

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.search(r"listening on (https?://[0-9A-Za-z.:\[\]-]+:\d+)", line)
            if found and self.url is None:
                self.url = found.group(1)
                self._listening.set()

    @property
    def log(self):
        return "".join(self.lines)

    @property
    def port(self):
        return urllib.parse.urlsplit(self.url).port

    @property
    def host(self):
        return urllib.parse.urlsplit(self.url).hostname

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if not self.ended:
            self.stop()

    def stop(self):
        """SIGTERM: the process drains and leaves with status 0, having panicked at no time."""
        assert self.process.poll() is None, f"the server died: {self.process.returncode}\n{self.log}"
        self.ended = True
        self.process.terminate()
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_SECONDS} s after SIGTERM:\n{self.log}") from None
        self._reader.join(5)
        assert "panicked" not in self.log, self.log
        assert status == 0, f"exit status {status} after SIGTERM:\n{self.log}"

    def kill(self):
        """SIGKILL, at once."""
        self.ended = True
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)

    def client(self, service="kms", account="000000000000", region=REGION, secret="any", token=None, **settings):
        """A boto3 client which neither retries nor validates, so that the server's own answers are seen."""
        name = (service, account, region, secret, token, tuple(sorted(settings.items())))
        if name not in self._clients:
            config = botocore.config.Config(
                retries={"total_max_attempts": 1},
                parameter_validation=False,
                max_pool_connections=64,
                read_timeout=60,
                **settings,
            )
            with _session_lock:
                self._clients[name] = _session.client(
                    service,
                    region_name=region,
                    endpoint_url=self.url,
                    aws_access_key_id=account,
                    aws_secret_access_key=secret,
                    aws_session_token=token,
                    config=config,
                    verify=self.ca_file,
                )
        return self._clients[name]

    def connection(self, timeout=30):
        """A plain HTTP connection for requests that no SDK would send."""
        if self.url.startswith("https"):
            context = ssl.create_default_context(cafile=self.ca_file)
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def request(self, method="GET", path="/", body=None, headers=None):
        """One request, as given; answers an `Answer`."""
        connection = self.connection()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            reply = connection.getresponse()
            return Answer(reply.status, dict((name.lower(), value) for name, value in reply.getheaders()), reply.read())
        finally:
            connection.close()

    def signed(self, operation, body, account="000000000000", secret="any", change=None, **options):
        """A signed KMS request with exactly this body (bytes, or a value to write as JSON).

        `change` receives the signed headers and may alter them before they are sent."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = sign(self.url, operation, body, account, secret, **options)
        if change:
            change(headers)
        return self.request("POST", "/", body, headers)

    def control(self, name, value=None):
        """A request to a `/_claviger/` endpoint of the dev server."""
        body = json.dumps(value or {})
        answer = self.request("POST", f"/_claviger/{name}", body, {"Content-Type": "application/json"})
        assert answer.status == 200, (answer.status, answer.body)
        return answer

    def status_field(self, name):
        """A field of /proc/PID/status."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return re.search(rf"^{name}:\s*(.*)$", text, re.MULTILINE).group(1)


class Answer:
    """An HTTP answer, and the AWS error inside it if there is one."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error's name, without a namespace."""
        return self.json["__type"].rpartition("#")[2]

    @property
    def message(self):
        return self.json.get("message", self.json.get("Message"))

    def __repr__(self):
        return f"Answer({self.status}, {self.headers}, {self.body[:600]!r})"


def sign(
    url,
    operation,
    body,
    account,
    secret="any",
    region=REGION,
    service="kms",
    token=None,
    target=None,
    at=None,
    content_type="application/x-amz-json-1.1",
    extra=None,
):
    """The headers of a signed awsJson request, made by botocore's own signer."""
    headers = {"Content-Type": content_type}
    if target is None:
        target = f"TrentService.{operation}"
    if target:
        headers["X-Amz-Target"] = target
    headers.update(extra or {})
    request = botocore.awsrequest.AWSRequest("POST", url + "/", data=body, headers=headers)
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(account, secret, token), service, region)
    if at is None:
        signer.add_auth(request)
    else:
        _sign_at(signer, request, at)
    signed = dict(request.headers.items())
    signed["Host"] = urllib.parse.urlsplit(url).netloc
    return signed


def _sign_at(signer, request, at):
    """botocore reads the clock itself; this repeats its steps for a given moment."""
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    text = signer.string_to_sign(request, canonical)
    signer._inject_signature_to_request(request, signer.signature(text, request))


def run(*arguments, timeout=60, environment=None, directory=None, typed=""):
    """Runs a subcommand to its end; answers (status, everything printed)."""
    done = subprocess.run(
        [str(BINARY), *(str(argument) for argument in arguments)],
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        cwd=directory,
        timeout=timeout,
        text=True,
        errors="replace",
    )
    return done.returncode, done.stdout


def dev(data=None, *more, **options):
    """`claviger dev` on a free port."""
    arguments = ["dev", "--listen", "127.0.0.1:0"]
    if data is not None:
        arguments += ["--data", data]
    return Server(*arguments, *more, **options)
