from __future__ import annotations

from tests.programs import output_of, run

LABEL = "from thousand_island.workers.labelled_stream import label_output\nlabel_output('worker 1: ')\n"


def test_every_line_is_labelled() -> None:
    assert output_of(LABEL + "print('one\\ntwo'); print()") == "worker 1: one\nworker 1: two\nworker 1:"


def test_a_line_in_pieces_is_labelled_once() -> None:
    assert output_of(LABEL + "print('a', end='', flush=True); print('b', 'c')") == "worker 1: ab c"


def test_a_last_line_without_an_end_is_not_lost() -> None:
    assert output_of(LABEL + "print('a', end='')") == "worker 1: a"


def test_tracebacks_and_logs_are_labelled() -> None:
    ended = run(LABEL + "import logging; logging.warning('careful'); 1 / 0")
    lines = ended.stderr.splitlines()
    assert all(line.startswith("worker 1: ") for line in lines)
    assert lines[0] == "worker 1: WARNING:root:careful"
    assert lines[-1] == "worker 1: ZeroDivisionError: division by zero"


def test_the_program_can_configure_what_is_behind_it() -> None:
    program = "import sys; sys.stdout.reconfigure(line_buffering=True); print(sys.stdout.line_buffering)"
    assert output_of(LABEL + program) == "worker 1: True"


def test_it_has_the_descriptor_of_what_is_behind_it() -> None:
    assert output_of(LABEL + "import sys; print(sys.stdout.fileno(), sys.stdout.isatty())") == "worker 1: 1 False"
