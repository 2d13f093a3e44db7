"""A production server: certificates that the test controls, a configuration, and what `init` printed."""

import datetime
import ipaddress
import os
import re

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support import server as servers


class Deployment:
    """A directory with certificate, unseal secret, configuration and data."""

    def __init__(self, directory):
        self.directory = directory
        self.data = directory / "data"
        self.config = directory / "claviger.toml"
        self.unseal = directory / "unseal.secret"
        self.unseal.write_bytes(os.urandom(32))
        self.unseal.chmod(0o600)
        self.ca = certificates(directory)
        self.write_config()

    def write_config(self, **changes):
        """The configuration as a user would write it; a change of None leaves a line out."""
        settings = {
            "account": '"123456789012"',
            "regions": f'["{servers.REGION}"]',
            "listen": '"127.0.0.1:0"',
            "data": f'"{self.data}"',
            "tls.certificate": f'"{self.directory / "server.pem"}"',
            "tls.key": f'"{self.directory / "server.key"}"',
            "unseal.file": f'"{self.unseal}"',
            # Tests make more keys in a second than AWS allows.
            "quotas.requests": "false",
            **changes,
        }
        self.config.write_text("".join(f"{name} = {value}\n" for name, value in settings.items() if value is not None))

    def init(self, **options):
        """Runs `claviger init`; answers its status and output, and keeps the root's access key if it printed one."""
        status, output = servers.run("init", "--config", self.config, **options)
        if status == 0:
            self.access_key = re.search(r"^AWS_ACCESS_KEY_ID=(AKIA[A-Z2-7]{16})$", output, re.MULTILINE)[1]
            self.secret = re.search(r"^AWS_SECRET_ACCESS_KEY=([A-Za-z0-9/+]{40})$", output, re.MULTILINE)[1]
            self.account = re.search(r"(?<!\d)\d{12}(?!\d)", output).group()
        return status, output

    def serve(self, **options):
        server = servers.Server("server", "--config", self.config, **options)
        server.ca_file = str(self.ca)
        return server

    def credentials(self):
        return {"account": self.access_key, "secret": self.secret}


def certificates(directory):
    """A CA and a server certificate of 127.0.0.1; answers the CA's file."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def build(name, subject_key, *extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")]))
            .public_key(subject_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    authority = (x509.BasicConstraints(ca=True, path_length=0), True)
    identifier = (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
    issuer = (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
    use = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    (directory / "ca.pem").write_bytes(build("test CA", ca_key, authority, identifier, (use, True)))
    leaf = (x509.SubjectAlternativeName(names), False)
    (directory / "server.pem").write_bytes(build("server", key, leaf, issuer))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.key").write_bytes(private)
    (directory / "server.key").chmod(0o600)
    return directory / "ca.pem"
