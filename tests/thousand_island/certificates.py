"""Certificates for the tests of TLS, signed by an authority of their own."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    pem = serialization.Encoding.PEM

    def write(name: str, key: Any, issuer: Any, issuer_key: Any, *hosts: str, password: str | None = None) -> Any:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        alternatives = [_host(x509, host) for host in hosts]
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=subject if issuer is None else issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
            builder = builder.add_extension(authority_id, critical=False)
        else:
            builder = builder.add_extension(_for_signing(x509), critical=True)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        lock: Any = serialization.NoEncryption()
        if password is not None:
            lock = serialization.BestAvailableEncryption(password.encode())
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
        (directory / f"{name}.key").write_bytes(private)
        return certificate

    def identity(name: str, key: Any, signer: Any, *hosts: str, password: str | None = None) -> Identity:
        certificate = write(name, key, *signer, *hosts, password=password)
        der = certificate.public_bytes(serialization.Encoding.DER)
        return Identity(str(directory / f"{name}.pem"), str(directory / f"{name}.key"), der)

    def new_key() -> Any:
        return ec.generate_private_key(ec.SECP256R1())

    authority_key, strange_key = new_key(), new_key()
    signer = (write("authority", authority_key, None, authority_key), authority_key)
    strange = (write("strange authority", strange_key, None, strange_key), strange_key)
    return Certificates(
        authority=str(directory / "authority.pem"),
        server=identity("server", new_key(), signer, "localhost", "127.0.0.1", "::1"),
        other=identity("other", new_key(), signer, "other.example"),
        client=identity("client", new_key(), signer, "client.example"),
        stranger=identity("stranger", new_key(), strange, "stranger.example"),
        locked=identity("locked", new_key(), signer, "localhost", password=PASSWORD),
    )


def _for_signing(x509: Any) -> Any:
    uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    others = dict.fromkeys((*uses, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **others)


def _host(x509: Any, host: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
