"""The openssl program as a second implementation beside the library's."""

import pathlib
import subprocess
import tempfile


def run(*arguments, **files):
    """Runs openssl; an argument that names one of `files` becomes the path of a file with that content."""
    with tempfile.TemporaryDirectory() as directory:
        paths = {}
        for name, content in files.items():
            paths[name] = pathlib.Path(directory, name)
            paths[name].write_bytes(content)
        command = ["openssl", *(str(paths.get(argument, argument)) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, timeout=60)
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def output(*arguments, **files):
    status, standard, errors = run(*arguments, **files)
    assert status == 0, errors
    return standard


def verifies(spki, digest_name, message, signature, *options):
    """`openssl dgst -verify`, for RSA and ECDSA."""
    extra = [part for option in options for part in ("-sigopt", option)]
    status, standard, _ = run(
        *("dgst", f"-{digest_name}", *extra, "-keyform", "DER", "-verify", "spki"),
        *("-signature", "signature", "message"),
        spki=spki,
        signature=signature,
        message=message,
    )
    return status == 0 and standard == b"Verified OK\n"
