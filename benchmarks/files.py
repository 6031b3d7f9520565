"""The files that some rows need, made once a run in a temporary directory."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

from benchmarks.failures import UnavailableError

#: Bytes of the file that is sent.
LARGE_FILE_SIZE = 256 * 1024 * 1024

#: The file's content: a prime number of bytes repeated, so that a block lost or sent twice does not look right.
PATTERN = bytes(range(251))

#: Bytes written at a time: the pattern, four thousand times.
BLOCK = PATTERN * 4_096


class Files:
    """Makes each file when it is first asked for."""

    def __init__(self, directory: Path) -> None:
        """Keeps the files in `directory`, which belongs to the caller."""
        self._directory = directory

    def large_file(self) -> Path:
        """The file of 256 MB whose bytes the load generator knows."""
        path = self._directory / "large"
        if not path.exists():
            _write_pattern(path)
        return path

    def certificate(self) -> Path:
        """A PEM file with a self-signed RSA certificate and its key.

        Signing with RSA costs the server more than checking costs the client, so that the client is not what limits
        the number of handshakes.

        Raises:
            UnavailableError: neither the `cryptography` package nor the `openssl` command is there.
        """
        path = self._directory / "certificate.pem"
        if not path.exists():
            path.write_bytes(_self_signed_by_library() or _self_signed_by_command())
        return path


def _write_pattern(path: Path) -> None:
    left = LARGE_FILE_SIZE
    with path.open("wb") as file:
        while left:
            left -= file.write(BLOCK[:left])


def _self_signed_by_library() -> bytes | None:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import rsa
    except ImportError:  # it has no release for some builds
        return None
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    certificate = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private


def _self_signed_by_command() -> bytes:
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    try:
        command = ["openssl", *request, "-keyout", "-", "-out", "-"]
        return subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"no certificate: no cryptography package, and openssl fails ({error})") from error
