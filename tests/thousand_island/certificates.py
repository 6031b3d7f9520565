"""Certificates for the tests of TLS, signed by an authority of their own."""

from __future__ import annotations

import datetime
import importlib.util
import ipaddress
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

PASSWORD = "open sesame"


@dataclass
class Identity:
    """A certificate and its key, as paths of PEM files and as DER."""

    certfile: str
    keyfile: str
    der: bytes


@dataclass
class Certificates:
    """What the tests need.

    Attributes:
        authority: path of the authority's certificate.
        server: for localhost.
        other: for other.example.
        client: for a client.
        stranger: signed by nobody whom the others know.
        locked: like ``server``, with a key that needs PASSWORD.
    """

    authority: str
    server: Identity
    other: Identity
    client: Identity
    stranger: Identity
    locked: Identity

    def options(self, **more: Any) -> dict[str, Any]:
        """``transport_options`` of a server on the loopback."""
        return {"ip": "loopback", "certfile": self.server.certfile, "keyfile": self.server.keyfile, **more}

    def trusting(self, identity: Identity | None = None, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A client that trusts the authority, and shows ``identity``."""
        context = ssl.create_default_context(cafile=self.authority)
        if identity is not None:
            context.load_cert_chain(identity.certfile, identity.keyfile)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def make_certificates(directory: Path) -> Certificates:
    """Write everything into ``directory``."""
    issuer = _issuer(directory)

    def identity(name: str, signer: str, *hosts: str, password: str | None = None) -> Identity:
        issuer.issue(name, signer, *hosts, password=password)
        certfile = directory / f"{name}.pem"
        return Identity(str(certfile), str(directory / f"{name}.key"), ssl.PEM_cert_to_DER_cert(certfile.read_text()))

    issuer.issue("authority", None)
    issuer.issue("strange authority", None)
    return Certificates(
        authority=str(directory / "authority.pem"),
        server=identity("server", "authority", "localhost", "127.0.0.1", "::1"),
        other=identity("other", "authority", "other.example"),
        client=identity("client", "authority", "client.example"),
        stranger=identity("stranger", "strange authority", "stranger.example"),
        locked=identity("locked", "authority", "localhost", password=PASSWORD),
    )


class Issuer(Protocol):
    """Makes certificates, each with its key, as two files in a directory."""

    def issue(self, name: str, signer: str | None, *hosts: str, password: str | None = None) -> None:
        """Write ``name``.pem and ``name``.key: an authority if ``signer`` is None, else signed by that authority."""


def _issuer(directory: Path) -> Issuer:
    if importlib.util.find_spec("cryptography"):
        return _WithCryptography(directory)
    if shutil.which("openssl"):  # on a free-threaded build
        return _WithOpenSSL(directory)
    pytest.skip("neither the package cryptography nor the command openssl is there to make certificates")


class _WithCryptography:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.issued: dict[str, tuple[Any, Any]] = {}

    def issue(self, name: str, signer: str | None, *hosts: str, password: str | None = None) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(name, key, signer, hosts)
        self.issued[name] = certificate, key
        pem = serialization.Encoding.PEM
        lock: Any = serialization.NoEncryption()
        if password is not None:
            lock = serialization.BestAvailableEncryption(password.encode())
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)
        (self.directory / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
        (self.directory / f"{name}.key").write_bytes(private)

    def _certificate(self, name: str, key: Any, signer: str | None, hosts: tuple[str, ...]) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        issuer, issuer_key = self.issued[signer] if signer else (None, key)
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if issuer is None:
            builder = builder.add_extension(_for_signing(x509), critical=True)
        else:
            alternatives = [_host(x509, host) for host in hosts]
            authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            builder = builder.add_extension(authority_id, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())


def _for_signing(x509: Any) -> Any:
    uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    others = dict.fromkeys((*uses, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **others)


def _host(x509: Any, host: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class _WithOpenSSL:
    AUTHORITY = """
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
    IDENTITY = """
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def issue(self, name: str, signer: str | None, *hosts: str, password: str | None = None) -> None:
        key, request, extensions = f"{name}.key", f"{name}.csr", self.directory / f"{name}.extensions"
        lock = ["-aes-256-cbc", "-pass", f"pass:{password}"] if password else []
        unlock = ["-passin", f"pass:{password}"] if password else []
        names = ", ".join(f"{'DNS' if host[-1].isalpha() else 'IP'}:{host}" for host in hosts)
        extensions.write_text(self.IDENTITY + names if signer else self.AUTHORITY)
        by = ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial"] if signer else ["-signkey", key]
        self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", *lock, "-out", key)
        self._run("req", "-new", "-key", key, *unlock, "-subj", f"/CN={name}", "-out", request)
        how = ["-days", "1", "-sha256", "-extfile", extensions.name]
        self._run("x509", "-req", "-in", request, *by, *how, "-out", f"{name}.pem")

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)
