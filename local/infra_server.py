"""The emulator that the infrastructure is applied to: a process of its own, beside the one that a stack works with.

It keeps everything in memory, the state of Terraform included, so what is applied to it ends with it.
"""

import re
import sys
import time
from pathlib import Path

from local import ports, processes, servers
from local.errors import LocalError
from local.files import tail
from local.paths import ROOT

_START_SECONDS = 60.0


def address(folder: Path) -> str | None:
    """Return where the emulator of a folder answers; None when it does not run."""
    record = servers.running(folder)
    return f"http://{ports.LOOPBACK}:{record.port}" if record else None


def start(folder: Path) -> str:
    """Start the emulator of a folder, if it does not run. Return its address.

    :raises LocalError: when it ends while it starts
    """
    if running := address(folder):
        return running
    processes.stop_leftovers(folder)
    log = folder / "aws.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "local.aws", "--port", "0", "--infrastructure"]
    process = processes.spawn(command, folder=folder, log=log, cwd=ROOT)
    deadline = time.monotonic() + _START_SECONDS
    while (found := re.search(r" on (http://\S+:(\d+))\n", log.read_text(encoding="utf-8"))) is None:
        if not processes.is_alive(process) or time.monotonic() > deadline:
            processes.stop(process)
            raise LocalError(f"the AWS emulator did not start; the end of {log}:\n{tail(log)}")
        time.sleep(0.1)
    servers.write(folder, process, int(found[2]))
    return found[1]


def stop(folder: Path) -> bool:
    """Stop the emulator of a folder. Return whether it ran."""
    record = servers.running(folder)
    if record is not None:
        processes.stop(record.process)
    return bool(processes.stop_leftovers(folder)) or record is not None
