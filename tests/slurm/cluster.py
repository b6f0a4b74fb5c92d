"""A Slurm of one node, from Debian's packages (slurmctld, slurmd, munge), started for a test and ended by its pids.

Runs as root, also where there is no systemd: `python -m tests.slurm.cluster` starts it and says whether it works.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
UP_SECONDS = 30.0

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
JobRequeue=1
KillWait=2
SchedulerParameters=sched_interval=1,bf_interval=1,default_queue_depth=10
ReturnToService=2
SlurmdTimeout=60
MaxArraySize=100
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
"""


def missing() -> str:
    """Why no cluster can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "starting Slurm needs root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    lacking = [name for name in NEEDED if shutil.which(name, path=path) is None]
    return (
        f"not installed: {', '.join(lacking)} (apt-get install slurmctld slurmd slurm-client munge)" if lacking else ""
    )


@contextlib.contextmanager
def running() -> Iterator[Path]:
    """A cluster that takes jobs; its configuration, which SLURM_CONF names meanwhile."""
    with TemporaryDirectory(prefix="slurm-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        started: list[subprocess.Popen[bytes]] = []
        before = os.environ.get("SLURM_CONF")
        try:
            started.append(_munge(folder))
            configuration = _configure(folder)
            os.environ["SLURM_CONF"] = str(configuration)
            started += [_daemon(name, configuration) for name in ("slurmctld", "slurmd")]
            _wait_until_idle(folder)
            yield configuration
        finally:
            _cancel_all()
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
            os.environ.pop("SLURM_CONF", None)
            if before is not None:
                os.environ["SLURM_CONF"] = before


def _cancel_all() -> None:
    """End every job, so that none outlives its cluster."""
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        subprocess.run(["scancel", "--user=root", "--full"], check=False, capture_output=True, timeout=10)
        for _ in range(20):
            left = subprocess.run(["squeue", "-h"], check=False, capture_output=True, text=True, timeout=10).stdout
            if not left.strip():
                return
            time.sleep(0.5)


def _munge(folder: Path) -> subprocess.Popen[bytes]:
    """The authentication daemon, as the user that the package made for it."""
    home = folder / "munge"
    home.mkdir()
    (home / "key").write_bytes(os.urandom(1024))
    (home / "key").chmod(0o400)
    for path in (home, home / "key"):
        shutil.chown(path, "munge", "munge")
    home.chmod(0o755)
    options = [f"--socket={home}/socket", f"--key-file={home}/key", f"--pid-file={home}/pid"]
    options += [f"--log-file={home}/log", f"--seed-file={home}/seed", "--foreground", "--force"]
    process = subprocess.Popen(["/usr/sbin/munged", *options], user="munge", group="munge", **_quiet(folder))
    _wait_for(lambda: (home / "socket").exists(), "munged made no socket", folder)
    return process


def _configure(folder: Path) -> Path:
    for part in ("state", "spool"):
        (folder / part).mkdir()
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2), cpus=os.cpu_count())
    path = folder / "slurm.conf"
    path.write_text(text)
    return path


def _daemon(name: str, configuration: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([f"/usr/sbin/{name}", "-D", "-f", str(configuration)], **_quiet(configuration.parent))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _quiet(folder: Path) -> dict[str, object]:
    log = (folder / "daemons.log").open("ab")
    return {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, "cwd": "/"}


def _wait_until_idle(folder: Path) -> None:
    def idle() -> bool:
        found = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        return found.stdout.split() == ["idle"]

    _wait_for(idle, "the node did not come up", folder)


def _wait_for(there: object, fault: str, folder: Path) -> None:
    until = time.monotonic() + UP_SECONDS
    while not there():  # type: ignore[operator]
        if time.monotonic() > until:
            logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in sorted(folder.glob("**/*.log")))
            raise RuntimeError(f"{fault}\n{logs}")
        time.sleep(0.2)


if __name__ == "__main__":
    reason = missing()
    if reason:
        raise SystemExit(reason)
    with running():
        print(subprocess.run(["sinfo"], capture_output=True, text=True, check=True).stdout)
