"""`rebuild --beside` leaves none of its workers behind, nor their state, however they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands import crew
from tests.pipeline.worker_in_memory import until

# In a worker's place: the first does not hear that it is to end. After a minute it ends whatever else is broken.
WORKER = """#!{python}
import os, pathlib, signal
signal.alarm(60)
if os.environ["WORKER_ID"] == "rebuild-0":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(os.environ["WORKER_STATE_DIR"]).mkdir(parents=True)
pathlib.Path({started!r}, str(os.getpid())).touch()
while True:
    signal.pause()
"""

# In the command's place: it is in the middle of waiting for its crew.
COMMAND = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, os.getcwd())
from pipeline.commands.crew import crew
sys.executable = sys.argv[1]
signal.alarm(60)
with crew(SimpleNamespace(line=SimpleNamespace(data_dir=Path(sys.argv[2]))), "v2-", 1):
    while True:
        signal.sigtimedwait([], 0.1)
"""


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_worker_that_does_not_end_is_killed_and_the_others_and_their_state_go_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, started, state = tmp_path / "worker", tmp_path / "started", tmp_path / "rebuild" / "v2-state"
    started.mkdir()
    script.write_text(WORKER.format(python=sys.executable, started=str(started)))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(crew, "STOP_WITHIN_S", 0.2)
    broker: Any = SimpleNamespace(line=SimpleNamespace(data_dir=tmp_path))
    with crew.crew(broker, "v2-", 2):
        await until(lambda: len(list(started.iterdir())) == 2, seconds=30)
        workers = [int(one.name) for one in started.iterdir()]
        assert all(_is_there(pid) for pid in workers) and state.is_dir()
    assert not any(_is_there(pid) for pid in workers)
    assert not state.exists()
    assert "does not end within 0 s: killed" in capsys.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_command_that_is_stopped_or_killed_leaves_no_worker_behind(how: signal.Signals, tmp_path: Path) -> None:
    script, started = tmp_path / "worker", tmp_path / "started"
    started.mkdir()
    hears = WORKER.replace("rebuild-0", "nobody")
    script.write_text(hears.format(python=sys.executable, started=str(started)))
    script.chmod(0o755)
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, str(script), str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    await until(lambda: list(started.iterdir()) != [], seconds=30)
    command.send_signal(how)
    # The worker has the same standard output: it ends when both are gone.
    await asyncio.wait_for(command.communicate(), 30)
    assert command.returncode == (143 if how is signal.SIGTERM else -signal.SIGKILL)
    assert (tmp_path / "rebuild" / "v2-state").exists() is (how is signal.SIGKILL)
