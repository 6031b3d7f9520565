"""The ``transport_options`` that TLS adds to those of TCP: their names, defaults and checks.

Reads options only; opens no file, so what only a file can tell (a certificate that is none) is found by
``tls_context``.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from supervision import arguments
from thousand_island.errors import BadOption, MissingOption
from thousand_island.options import Check, a_dict, check_names, check_values

__all__ = ["OPTION_NAMES", "Identity", "SniHost", "TLSOptions", "sni_host"]

Password: TypeAlias = str | bytes | Callable[[], Any] | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the server is: a certificate and what belongs to it. Checked; made by ``Identity.new``.

    Attributes:
        certfile: path of the certificate and its chain (PEM); None: there is none.
        keyfile: path of the private key (PEM).
        password: of the key, or a function that returns it.
        cacertfile: path of the certificates (PEM) that clients' certificates, and the own chain, are built upon.
        alpn_preferred_protocols: the application protocols that are offered, the preferred one first.
    """

    certfile: str | None = None
    keyfile: str | None = None
    password: Password = field(default=None, repr=False)  # it must not get into a log
    cacertfile: str | None = None
    alpn_preferred_protocols: tuple[str, ...] = ()

    @classmethod
    def new(cls, owner: str, options: Any, default: Identity) -> Identity:
        """Checks the certificate options of one host; what is not given is as in ``default``, but for the certificate.

        Raises:
            UnknownOption: a name is unknown.
            MissingOption: ``certfile`` or ``keyfile`` is.
            BadOption: a value is refused.
        """
        options = a_dict(owner, options)
        check_names(owner, options, _IDENTITY_CHECKS)
        for name in ("certfile", "keyfile"):
            if options.get(name) is None:
                raise MissingOption(f"{owner} must include {name}")
        inherited = {name: getattr(default, name) for name in ("cacertfile", "alpn_preferred_protocols")}
        return cls(**{**inherited, **check_values(options, _IDENTITY_CHECKS)})


SniHost: TypeAlias = Identity | ssl.SSLContext
"""What stands for one host name."""


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """How to speak TLS, checked and complete. Made by ``TLSOptions.new``.

    Attributes:
        identity: the certificate for clients that name no host, or one that SNI does not know.
        verify: whether clients are asked for a certificate (``"peer"``) or not (``"none"``).
        fail_if_no_peer_cert: whether a client that has none is refused.
        sni_hosts: what stands for which host name (in lower case).
        sni_fun: called with the host name that a client asks for; gives certificate options, an SSLContext or None.
        versions: the versions of TLS to speak, of ``"TLSv1.2"`` and ``"TLSv1.3"``; None: both.
        ciphers: the cipher suites for TLS 1.2, as OpenSSL writes them; None: the defaults of the ssl module.
        session_tickets: whether clients of TLS 1.3 are given tickets, by which they can resume their session:
            ``"disabled"``, or ``"stateless"`` for two each, as OpenSSL makes them. A client that closes without
            having read the tickets resets the connection. For the contexts of ``sni_hosts`` and ``sni_fun`` this
            counts too, ready ones included: OpenSSL asks the context that a connection begins with.
        context: a ready context; then nothing else is given.

    Counterpart: ``t:ssl.tls_server_option/0``.
    """

    identity: Identity = Identity()
    verify: str = "none"
    fail_if_no_peer_cert: bool = False
    sni_hosts: tuple[tuple[str, SniHost], ...] = ()
    sni_fun: Callable[[str], Any] | None = None
    versions: tuple[str, ...] | None = None
    ciphers: str | None = None
    session_tickets: str = "disabled"
    context: ssl.SSLContext | None = None

    @classmethod
    def new(cls, options: Mapping[str, Any], owner: str = "transport_options") -> TLSOptions:
        """Checks the options of TLS among ``options``; others are let through unread.

        Args:
            options: what was given.
            owner: what has the options, as the user calls it.

        Raises:
            MissingOption: there is no certificate or key. It is also a TypeError.
            BadOption: a value is refused or contradicts another option. It is also a ValueError.
        """
        given = {name: value for name, value in options.items() if name in OPTION_NAMES and value is not None}
        _require_certificate(owner, given)
        identity = Identity(**check_values(given, _IDENTITY_CHECKS))
        checked = check_values(given, _CHECKS)
        checked["sni_hosts"] = _sni_hosts(given.get("sni_hosts", {}), identity)
        tls = cls(identity=identity, **checked)
        _check_combinations(tls, given)
        return tls


def _require_certificate(owner: str, given: Mapping[str, Any]) -> None:
    # Worded as upstream, which knows sni_hosts and sni_fun as the other places where certificates come from.
    for name in ("keyfile", "certfile"):
        if not given.keys() & {name, "context", "sni_hosts", "sni_fun"}:
            raise MissingOption(f"{owner} must include one of {name}, context, sni_hosts or sni_fun")


def _check_combinations(tls: TLSOptions, given: Mapping[str, Any]) -> None:
    if tls.context is not None and len(given) > 1:
        others = ", ".join(sorted(given.keys() - {"context"}))
        raise BadOption(f"context is complete by itself: set {others} on it instead")
    if (tls.identity.certfile is None) != (tls.identity.keyfile is None):
        raise BadOption("certfile and keyfile need each other")
    if tls.sni_hosts and tls.sni_fun is not None:
        raise BadOption("sni_hosts and sni_fun cannot be combined")
    if tls.fail_if_no_peer_cert and tls.verify == "none":
        raise BadOption("fail_if_no_peer_cert needs verify='peer'")
    if tls.verify == "peer" and tls.identity.cacertfile is None:
        raise BadOption("verify='peer' needs cacertfile: without it no client's certificate can be verified")


def _path(name: str, value: Any) -> str:
    try:
        return os.fsdecode(value)
    except TypeError:
        raise BadOption(f"{name} must be the path of a file, got {value!r}") from None


def _password(name: str, value: Any) -> Any:
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, str | bytes) or callable(value):
        return value
    raise BadOption(f"{name} must be a string, bytes or a function that returns one of them")


def _protocols(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and value and all(_is_protocol(protocol) for protocol in value):
        return tuple(value)
    raise BadOption(f"{name} must be a list of protocol names of 1 to 255 ASCII characters, got {value!r}")


def _is_protocol(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and 1 <= len(value) <= 255


def _verify(name: str, value: Any) -> str:
    return arguments.one_of(name, value, ("none", "peer"))


def _versions(name: str, value: Any) -> tuple[str, ...]:
    known = {"TLSv1.2", "TLSv1.3"}
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) and one in known for one in value):
        return tuple(value)
    raise BadOption(f"{name} must be a list of 'TLSv1.2' and 'TLSv1.3', got {value!r}")


def _ciphers(name: str, value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        value = ":".join(value)
    if not isinstance(value, str):
        raise BadOption(f"{name} must be a string in OpenSSL's format or a list of names, got {value!r}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(value)
    except ssl.SSLError:
        raise BadOption(f"{name} names no cipher suite that OpenSSL has, got {value!r}") from None
    return value


def _session_tickets(name: str, value: Any) -> str:
    return arguments.one_of(name, value, ("disabled", "stateless"))


def _context(name: str, value: Any) -> ssl.SSLContext:
    if isinstance(value, ssl.SSLContext) and value.protocol != ssl.PROTOCOL_TLS_CLIENT:
        return value
    raise BadOption(f"{name} must be an ssl.SSLContext for servers, got {value!r}")


def _sni_hosts(hosts: Any, default: Identity) -> tuple[tuple[str, SniHost], ...]:
    return tuple(
        (name.lower(), sni_host(f"sni_hosts[{name!r}]", value, default))
        for name, value in a_dict("sni_hosts", hosts).items()
    )


def sni_host(owner: str, value: Any, default: Identity) -> SniHost:
    """Checks what is given for a host name: certificate options, or a ready context.

    Raises:
        BadOption: it is neither, or a value in it is refused.
        UnknownOption: a name in it is unknown.
        MissingOption: ``certfile`` or ``keyfile`` is missing in it.
    """
    if isinstance(value, ssl.SSLContext):
        return _context(owner, value)
    return Identity.new(owner, value, default)


_IDENTITY_CHECKS: Final[dict[str, Check]] = {
    "certfile": _path,
    "keyfile": _path,
    "password": _password,
    "cacertfile": _path,
    "alpn_preferred_protocols": _protocols,
}

_CHECKS: Final[dict[str, Check]] = {
    "verify": _verify,
    "fail_if_no_peer_cert": arguments.boolean,
    "sni_fun": arguments.a_callable,
    "versions": _versions,
    "ciphers": _ciphers,
    "session_tickets": _session_tickets,
    "context": _context,
}

OPTION_NAMES: Final = frozenset({*_IDENTITY_CHECKS, *_CHECKS, "sni_hosts"})
"""The names that TLS adds to ``transport_options``."""
