"""Stages are run when something has changed, and only then."""

import sys

import pytest

from popmac.errors import ToolError
from popmac_gateware.build.stages import Stage
from popmac_gateware.build.tools import Tools


@pytest.fixture
def run(tmp_path):
    """Run a stage that copies ``a`` to ``b``, and return whether it was skipped."""
    def copy():
        (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes())

    def run(parameters="", action=copy):
        stage = Stage("copy", tmp_path, inputs=["a"], outputs=["b"], parameters=parameters)
        stage.run(action)
        return stage.skipped
    (tmp_path / "a").write_text("1")
    return run


def test_what_has_not_changed_is_skipped(run, tmp_path):
    assert [run(), run(), run()] == [False, True, True]


def test_an_input_a_parameter_or_a_missing_output_make_it_run(run, tmp_path):
    run()
    (tmp_path / "a").write_text("2")
    assert not run() and (tmp_path / "b").read_text() == "2"
    assert not run(parameters="other")
    (tmp_path / "b").unlink()
    assert not run(parameters="other")
    assert run(parameters="other")


def test_a_stage_that_failed_is_run_again(run, tmp_path):
    def fail():
        (tmp_path / "b").write_text("half")
        raise ToolError("no")

    run()
    with pytest.raises(ToolError):
        run(parameters="other", action=fail)
    assert not run()
    assert (tmp_path / "b").read_text() == "1"


def test_a_damaged_record_is_no_record(run, tmp_path):
    run()
    (tmp_path / "copy.stage.json").write_text("{")
    assert not run()


class Python(Tools):
    """The interpreter in the place of a tool."""

    def command(self, name):
        return [sys.executable, "-c"]


def test_a_program_that_fails_is_an_error_with_its_last_words(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ToolError, match="^yosys failed: ERROR: no such cell; see .*log$"):
        Python().run("yosys", "print('ERROR: no such cell'); print(1); raise SystemExit(3)",
                     folder=tmp_path, log=log, limit=60)
    assert log.read_text() == "ERROR: no such cell\n1\n"


def test_a_program_that_does_not_end_is_stopped(tmp_path):
    with pytest.raises(ToolError, match="^nextpnr-ecp5 has not finished within 1 s"):
        Python().run("nextpnr-ecp5", "while True: pass", folder=tmp_path, log=tmp_path / "log",
                     limit=1)


def test_memory_is_measured(tmp_path):
    hold = "import time; x = bytearray(300 << 20); time.sleep(2)"
    own  = bytearray(500 << 20) # does not count
    peak = Python().run("yosys", hold, folder=tmp_path, log=tmp_path / "log", limit=60)
    del own
    assert 300 << 20 < peak < 400 << 20


def test_a_native_program_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="^ecppack is not on the path"):
        Tools(native=True).command("ecppack")
