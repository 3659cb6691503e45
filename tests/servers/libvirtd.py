"""A real libvirtd of our own: its files, its network and its processes are in namespaces that end with it.

As the system's daemon, for that is what hosts run; what it would write below /etc, /run and /var is in
memory.
KVM is hidden from it. Its first process has to be one that collects orphans, which libvirtd does not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from lab.waiting import wait_until

_INSIDE = """
set -eu
cd /
ip link set lo up
mount -t sysfs sysfs /sys
ip link add lan0 type bridge
ip link set lan0 up
for folder in /run /var/lib /var/cache /var/log; do mount -t tmpfs tmpfs $folder; done
cp -a /etc /run/etc # where the package has left none of libvirt's folders, none is to be made outside
mount --bind /run/etc /etc
mkdir -p /etc/libvirt
if [ -e /dev/kvm ]; then
    : > /run/no-kvm
    mount --bind /run/no-kvm /dev/kvm
    mount -o remount,bind,ro /dev/kvm # a file that nobody may write, or libvirt asks QEMU again each time
fi
echo libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin >> /etc/passwd
printf '%s:x:%s:\\n' libvirt-qemu 64055 kvm 64056 >> /etc/group
cat > /etc/libvirt/qemu.conf <<END
user = "$QEMU_USER"
group = "$(id -gn $QEMU_USER)"
dynamic_ownership = $([ $QEMU_USER = root ] && echo 0 || echo 1)
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
END
cat > /etc/libvirt/libvirtd.conf <<END
unix_sock_dir = "$ROOM"
auth_unix_rw = "none"
auth_unix_ro = "none"
END
while true; do # and starts again when it is killed
    while [ -e $ROOM/dark ]; do sleep 0.1; done
    libvirtd -f /etc/libvirt/libvirtd.conf &
    echo $! > $ROOM/pid
    wait $! || sleep 0.2
done
"""


@contextmanager
def running(qemu_user: str = "root") -> Iterator[Libvirtd]:
    """Run a daemon inside the block, in a folder that every user may look into."""
    room = Path(tempfile.mkdtemp(prefix="bascule-"))  # names of sockets must be short
    room.chmod(0o755)
    try:
        daemon = Libvirtd(room, qemu_user)
        try:
            yield daemon
        finally:
            daemon.end()
    finally:
        shutil.rmtree(room)


class Libvirtd:
    """A daemon in ``room``, a folder with a short name. It dies with this process, and its machines do."""

    def __init__(self, room: Path, qemu_user: str) -> None:
        self.room = room
        self.uri = f"qemu+unix:///system?socket={room}/libvirt-sock"
        names = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with open(room / "log", "wb") as log:
            self._process = self._started(names, log, qemu_user)
        try:
            self.wait()
        except BaseException:
            self.end()
            raise

    def _started(self, names: list[str], log: BinaryIO, qemu_user: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *names, "sh", "-c", _INSIDE],
            env={
                **os.environ,
                "ROOM": str(self.room),
                "QEMU_USER": qemu_user,
                "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def wait(self) -> None:
        """Wait until it listens."""
        wait_until(lambda: self._process.poll() is not None or self._answers(), 60)
        assert self._process.poll() is None, (self.room / "log").read_text()

    def _answers(self) -> bool:
        from bascule.drivers.hypervisors.libvirt.connection import connect
        from bascule.model.errors import Unavailable

        try:
            connect(self.uri).close()
        except Unavailable:
            return False
        return True

    @property
    def _inside(self) -> int:
        """Return the first process in there."""
        (child,) = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(child)

    def entering(self, folder: str = ".") -> list[str]:
        """Return the words that make the process that runs them one where the daemon is."""
        return ["nsenter", "-t", str(self._inside), "-m", "-p", "-n", f"--wd={folder}", "--"]

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: int | IO[str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process there; it ends with the power, or with the daemon's room."""
        words = [*self.entering(), *map(str, command)]
        null = subprocess.DEVNULL
        return subprocess.Popen(words, env=env, cwd=cwd, stdin=null, stdout=stdout, stderr=stdout, text=True)

    def run(self, *words: str) -> str:
        """Run a command where the daemon is, among its files and processes."""
        enter = self.entering("/")
        return subprocess.run([*enter, *words], check=True, capture_output=True, text=True).stdout

    def kill(self) -> None:
        """Kill the daemon, and not its machines; it starts again."""
        before = (self.room / "pid").read_text()
        self.run("kill", "-KILL", before.strip())
        wait_until(lambda: (self.room / "pid").read_text() not in ("", before))
        self.wait()

    def keep_dead(self) -> None:
        """Kill the daemon, and not its machines, until ``boot``."""
        (self.room / "dark").touch()
        self.run("kill", "-KILL", (self.room / "pid").read_text().strip())

    def cut_power(self) -> None:
        """End everything in there at once, until ``boot``."""
        (self.room / "dark").touch()
        self.run("sh", "-c", "rm -rf /run/libvirt; kill -KILL -1")

    def boot(self) -> None:
        """Let the daemon come up; when it answers, it has started what it is to start by itself."""
        (self.room / "dark").unlink()
        self.wait()

    def kill_machine(self, name: str) -> None:
        """Cut a machine's power behind the daemon's back."""
        self.run("sh", "-c", f"kill -KILL $(cat /run/libvirt/qemu/{name}.pid)")

    def end(self) -> None:
        """Kill everything in there."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
