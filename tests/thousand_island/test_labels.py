"""What each process of a server is called."""

from __future__ import annotations

import pytest

from supervision import process
from tests.thousand_island.serving import Echo, exchange, serve, tree


class TestLabels:
    @pytest.mark.row("TIP-01", "TIP-05")
    def test_connections_are_named_by_handler_and_client(self) -> None:
        with serve(Echo) as server:
            for _ in range(2):
                with server.connect() as client:
                    assert exchange(client, b"HELLO") == b"HELLO"
                    labels = [process.get_label(pid) for pid in server.connections()]
                    assert ("thousand_island", "connection", (Echo, client.getsockname())) in labels

    def test_a_label_of_ones_own_is_kept(self) -> None:
        with serve(Echo, genserver_options={"label": "shop"}) as server, server.connect() as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            assert [process.get_label(pid) for pid in server.connections()] == ["shop"]

    @pytest.mark.row("TIP-02", "TIP-03", "TIP-04", "TIP-06")
    def test_the_tree_is_named_by_the_configured_port_and_the_handler(self) -> None:
        with serve(Echo, num_acceptors=3) as server:
            places = tree(server.pid)
            labels = {place: process.get_label(pid) for place, pid in places.items()}
            assert process.get_label(server.pid) == ("thousand_island", "server", (0, Echo))
            assert labels["listener"] == ("thousand_island", "listener", (0, Echo))
            assert labels["shutdown_listener"] == ("thousand_island", "shutdown_listener", (0, Echo))
            pool = ("thousand_island", "acceptor_pool_supervisor", (0, Echo))
            assert labels["acceptor_pool_supervisor"] == pool
            for number in (1, 2, 3):
                supervisor = ("thousand_island", "acceptor_supervisor", ((0, Echo), number))
                assert labels[f"acceptor-{number}"] == supervisor
                acceptor = ("thousand_island", "acceptor", ((0, Echo), number))
                assert labels[f"acceptor-{number}/acceptor"] == acceptor
