from __future__ import annotations

import dataclasses
import re

import pytest

from tests.programs import ROOT
from thousand_island import ServerConfig, metrics
from thousand_island.command_line import CommandLine
from thousand_island.transports.listen_options import OPTION_NAMES

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_command_line_options_of_the_page_exist(capsys):
    with pytest.raises(SystemExit):
        CommandLine.of(["--help"])
    existing = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", PAGE)) <= existing


def test_options_in_the_table_of_limits_exist():
    (table,) = re.findall(r"## Limits\n\n(.*?)\n\n", PAGE, re.DOTALL)
    named = {name for name in re.findall(r"`([a-z_]+)(?:=[^`]*)?`", table) if "_" in name}
    elsewhere = {"transport_options", "handle_timeout", "handle_error"}
    assert named - elsewhere <= {field.name for field in dataclasses.fields(ServerConfig)} | OPTION_NAMES


def test_defaults_in_the_table_of_limits_are_those_of_the_code():
    rows = dict(
        re.findall(r"^\| .*?`(num_connections|read_timeout|handshake_timeout)`.*? \| ([\d ]+)", PAGE, re.MULTILINE)
    )
    defaults = {name: int(default.replace(" ", "")) for name, default in rows.items()}
    fields = {field.name: field.default for field in dataclasses.fields(ServerConfig)}
    assert defaults == {name: fields[name] for name in ("num_connections", "read_timeout", "handshake_timeout")}


def test_metrics_of_the_page_exist():
    named = set(re.findall(r"`(thousand_island_[a-z_]+)`", PAGE))
    assert named
    assert named <= set(metrics.__doc__.split())


def test_systemd_waits_longer_than_the_server_does():
    units = re.findall(r"--shutdown-timeout (\d+).*?^TimeoutStopSec=(\d+)$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(units) == 2
    # Workers get five seconds more than their connections.
    assert all(int(seconds) * 1000 > int(milliseconds) + 5_000 for milliseconds, seconds in units)
