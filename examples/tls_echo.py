"""Sends back whatever arrives, encrypted. Try it with ``openssl s_client -connect localhost:4433``.

Run it with the paths of a certificate and its key. A pair to play with is made by ``openssl req -x509 -newkey rsa:2048
-nodes -subj /CN=localhost -out cert.pem -keyout key.pem``.
"""

import sys

import blinker

import supervision
import thousand_island
from examples.echo import Echo, announce
from thousand_island.transports import SSL


def tls_echo(certfile, keyfile, port=4433):
    return {
        "port": port,
        "handler_module": Echo,
        "transport_module": SSL,
        "transport_options": {"certfile": certfile, "keyfile": keyfile},
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m examples.tls_echo CERTFILE KEYFILE")
    blinker.signal("thousand_island.listener.start").connect(announce)
    sys.exit(supervision.run([(thousand_island, tls_echo(*sys.argv[1:]))]))
