"""Contexts: the certificates, keys and rules that the connections of a server share, loaded from files.

The only place that opens those files. A context is complete when it is given out and is never changed afterwards, so
any number of handshakes may use it at once.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final

from thousand_island.transports.tls_options import Identity, SniHost, TLSOptions, sni_host

__all__ = ["TLSSession", "cached_context", "new_context"]

# Contexts that ``cached_context`` keeps, for handlers that switch to TLS and for ``sni_fun``: as many sets of
# certificates as one server is likely to need at once. A context takes some tens of kilobytes.
CACHED_CONTEXTS: Final = 64

# How many tickets a client of TLS 1.3 is sent unasked; two is OpenSSL's default.
_TICKETS: Final = {"disabled": 0, "stateless": 2}

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}

SniCallback = Callable[[Any, str | None, ssl.SSLContext], int | None]


class TLSSession(ssl.SSLObject):
    """The TLS of one connection, with what the callback for host names has found.

    Attributes:
        sni_hostname: the host name that the client asked for.
        sni_error: why ``sni_fun`` failed.
    """

    sni_hostname: str | None = None
    sni_error: BaseException | None = None


def new_context(options: TLSOptions) -> ssl.SSLContext:
    """Return a context by ``options``, its files read now.

    Raises:
        OSError: a file cannot be read, or is not what it should be; the text names it.
    """
    if options.context is not None:
        # A client that could renegotiate could make a write wait for a read; OpenSSL 3 refuses it by itself.
        options.context.options |= ssl.OP_NO_RENEGOTIATION
        return options.context
    context = _of_identity(options.identity, options)
    if options.sni_fun is not None:
        context.sni_callback = _ask(options)
    else:
        context.sni_callback = _look_up({name: _of_host(host, options) for name, host in options.sni_hosts})
    return context


def cached_context(options: TLSOptions) -> ssl.SSLContext:
    """Return a context by ``options``, perhaps one that was made before from the same files, unchanged since.

    Raises:
        OSError: as ``new_context`` does.
    """
    identities = [options.identity, *(host for _, host in options.sni_hosts if isinstance(host, Identity))]
    return _cached_context(options, _stamps(identities))


def _stamps(identities: Iterable[Identity]) -> tuple[Any, ...]:
    """What tells whether files have changed."""
    stamps = []
    for identity in identities:
        for path in _files(identity):
            found = os.stat(path)
            stamps.append((path, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(stamps)


@functools.lru_cache(CACHED_CONTEXTS)
def _cached_context(options: TLSOptions, stamps: tuple[Any, ...]) -> ssl.SSLContext:
    return new_context(options)


# One host


def _of_host(host: SniHost, options: TLSOptions) -> ssl.SSLContext:
    return _of_identity(host, options) if isinstance(host, Identity) else host


@functools.lru_cache(CACHED_CONTEXTS)
def _cached_host(identity: Identity, options: TLSOptions, stamps: tuple[Any, ...]) -> ssl.SSLContext:
    return _of_identity(identity, options)


def _of_identity(identity: Identity, options: TLSOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = TLSSession
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = _TICKETS[options.session_tickets]
    if options.versions is not None:
        versions = [_VERSIONS[name] for name in options.versions]
        context.minimum_version, context.maximum_version = min(versions), max(versions)
    if options.ciphers is not None:
        context.set_ciphers(options.ciphers)
    if options.verify == "peer":
        context.verify_mode = ssl.CERT_REQUIRED if options.fail_if_no_peer_cert else ssl.CERT_OPTIONAL
    _load(context, identity)
    if identity.alpn_preferred_protocols:
        context.set_alpn_protocols(list(identity.alpn_preferred_protocols))
    return context


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    for path in _files(identity):
        with open(path, "rb"):
            pass  # the ssl module's own error would not say which file it is
    if identity.certfile is not None:
        password = _no_password if identity.password is None else identity.password
        try:
            context.load_cert_chain(identity.certfile, identity.keyfile, password)
        except ssl.SSLError as error:
            raise _unusable(f"certificate and key in {identity.certfile}, {identity.keyfile}", error) from error
    if identity.cacertfile is not None:
        try:
            context.load_verify_locations(identity.cacertfile)
        except ssl.SSLError as error:
            raise _unusable(f"certificate of an authority in cacertfile {identity.cacertfile}", error) from error


def _unusable(what: str, error: ssl.SSLError) -> ssl.SSLError:
    return ssl.SSLError(ssl.SSLErrorNumber.SSL_ERROR_SSL, f"no usable {what}: {error.strerror}")


def _files(identity: Identity) -> list[str]:
    return [path for path in (identity.certfile, identity.keyfile, identity.cacertfile) if path is not None]


def _no_password() -> str:
    # Without this OpenSSL would ask for it at the terminal, and the server would hang.
    raise ssl.SSLError(ssl.SSLErrorNumber.SSL_ERROR_SSL, "the key is encrypted and no password was given")


# Host names. The callbacks run inside the handshake, on the thread of the connection.


def _look_up(contexts: dict[str, ssl.SSLContext]) -> SniCallback:
    def choose(session: Any, name: str | None, context: ssl.SSLContext) -> None:
        session.sni_hostname = name
        if name is not None and name.lower() in contexts:
            session.context = contexts[name.lower()]

    return choose


def _ask(options: TLSOptions) -> SniCallback:
    def choose(session: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        session.sni_hostname = name
        if name is None:
            return None
        try:
            chosen = _chosen(options, name)
        except Exception as error:  # noqa: BLE001 - it is the user's; the ssl module would print it and go on
            session.sni_error = error
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        if chosen is not None:
            session.context = chosen
        return None

    return choose


def _chosen(options: TLSOptions, name: str) -> ssl.SSLContext | None:
    assert options.sni_fun is not None
    given = options.sni_fun(name)
    if given is None:
        return None
    host = sni_host(f"the result of sni_fun({name!r})", given, options.identity)
    return _cached_host(host, options, _stamps([host])) if isinstance(host, Identity) else host
