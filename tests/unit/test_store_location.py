"""Where the database goes, by what the folders are mounted from."""

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from hpcho.errors import StoreError
from hpcho.jobdir import JobDir
from hpcho.store import location, open_store
from hpcho.store.location import choose, filesystem, is_shared
from hpcho.trial import Draft

# As proc(5) shows them on login nodes and laptops.
CLUSTER = r"""22 1 253:0 / / rw,relatime shared:1 - xfs /dev/mapper/rl-root rw,attr2,inode64,logbufs=8,noquota
24 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw,size=4096k,mode=755
31 22 0:28 / /dev/shm rw,nosuid,nodev shared:3 - tmpfs tmpfs rw
88 22 253:2 / /var rw,relatime shared:44 - xfs /dev/mapper/rl-var rw,attr2,inode64
120 22 0:48 / /home rw,relatime shared:60 - autofs /etc/auto.home rw,fd=17,pgrp=1234,timeout=300,minproto=5
131 120 0:52 / /home/ada rw,nosuid,relatime shared:66 - nfs4 filer:/export/home/ada rw,vers=4.2,hard,sec=sys
140 22 2304:987 / /lustre/work rw,noatime shared:70 - lustre 10.2.0.1@o2ib:/work rw,flock,lazystatfs
141 22 0:60 / /gpfs rw,relatime shared:71 - gpfs scratch rw
142 22 0:61 / /mnt/beegfs rw,nosuid,relatime shared:72 - beegfs beegfs_nodev rw,cfgFile=/etc/beegfs/beegfs-client.conf
143 22 0:62 / /mnt/with\040space rw,relatime - cifs //server/share rw,vers=3.1.1
144 22 0:63 / /mnt/ssh rw,nosuid,nodev,relatime - fuse.sshfs ada@host:/ rw,user_id=1000,group_id=1000
145 22 8:17 / /mnt/usb rw,relatime - fuseblk /dev/sdb1 rw,blksize=4096
146 22 0:64 / /ceph rw,relatime - ceph 10.0.0.1:6789:/ rw,name=admin,acl
147 22 8:33 / /scratch rw,noatime shared:80 - ext4 /dev/sdc1 rw
148 147 0:65 / /scratch/over rw,relatime - nfs filer:/old rw,vers=3
149 147 8:33 /over /scratch/over rw,relatime - ext4 /dev/sdc1 rw
"""
HOME_ON_NFS = """1 0 0:1 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
2 1 0:2 / {nfs} rw - nfs4 filer:/home rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/opt/x", "xfs", False),
        ("/home/ada/runs/mnist", "nfs4", True),
        ("/home/ada", "nfs4", True),
        ("/home/adam", "autofs", False),
        ("/lustre/work/p", "lustre", True),
        ("/lustre/working", "xfs", False),
        ("/gpfs/p", "gpfs", True),
        ("/mnt/beegfs/p", "beegfs", True),
        ("/mnt/with space/p", "cifs", True),
        ("/mnt/ssh/p", "fuse.sshfs", True),
        ("/mnt/usb/p", "fuseblk", False),
        ("/ceph/p", "ceph", True),
        ("/scratch/p", "ext4", False),
        ("/scratch/over/p", "ext4", False),
        ("/var/tmp", "xfs", False),
    ],
)
def test_filesystem(path, kind, shared):
    assert filesystem(Path(path), CLUSTER) == kind
    assert is_shared(kind) == shared


def test_where_nobody_can_tell():
    assert filesystem(Path("/home"), "") is None
    assert filesystem(Path("/home"), "garbage\n - \n1 2 3 - nfs\n") is None
    assert not is_shared(None)


def test_this_machine_can_tell(tmp_path):
    if not Path("/proc/self/mountinfo").exists():
        pytest.skip("no /proc here")
    assert filesystem(tmp_path, location.read_mountinfo())
    assert filesystem(Path("/proc/self"), location.read_mountinfo()) == "proc"


@pytest.fixture
def nfs(tmp_path):
    """A folder that the mount table takes for NFS."""
    folder = tmp_path / "nfs" / "runs"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def mounts(nfs):
    return HOME_ON_NFS.format(nfs=nfs.parent)


def test_in_the_job_directory_where_that_is_local(tmp_path, mounts):
    assert choose(tmp_path, "u", mounts) == tmp_path / "trials.db"


def test_in_the_state_folder_where_it_is_not(tmp_path, nfs, mounts):
    path = choose(nfs, "u", mounts, {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(nfs)})
    assert path == tmp_path / "state" / "hpcho" / "u" / "trials.db"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_default_state_folder(tmp_path, nfs, mounts):
    for environ in ({"HOME": str(tmp_path)}, {"HOME": str(tmp_path), "XDG_STATE_HOME": "relative/ignored"}):
        assert choose(nfs, "u", mounts, environ) == tmp_path / ".local/state/hpcho/u/trials.db"


@pytest.mark.parametrize("environ", [{"HOME": "nfs"}, {}, {"XDG_STATE_HOME": "/proc/nowhere"}])
def test_on_the_node_where_home_is_shared_or_unusable(tmp_path, nfs, mounts, environ, monkeypatch):
    monkeypatch.setattr(location, "NODE_LOCAL", tmp_path)
    environ = {key: str(nfs) if value == "nfs" else value for key, value in environ.items()}
    assert choose(nfs, "u", mounts, environ) == tmp_path / f"hpcho-{os.getuid()}" / "u" / "trials.db"


def test_not_in_a_folder_of_somebody_else(tmp_path, nfs, mounts, monkeypatch):
    monkeypatch.setattr(location, "NODE_LOCAL", tmp_path)
    (tmp_path / f"hpcho-{os.getuid()}").mkdir()
    (tmp_path / f"hpcho-{os.getuid()}").chmod(0o777)
    with pytest.raises(
        StoreError, match=r"no local disk for the database .*\(nfs4\).*is not a folder of this user alone"
    ):
        choose(nfs, "u", mounts, {})


def test_no_local_disk_at_all(nfs, mounts, monkeypatch):
    monkeypatch.setattr(location, "NODE_LOCAL", nfs)
    with pytest.raises(
        StoreError, match=r"tried .* \(nfs4\), .* \(nfs4\)\. .*set \$XDG_STATE_HOME to a folder on a local"
    ):
        choose(nfs, "u", mounts, {})


@pytest.fixture
def jobdir(nfs):
    jobdir = JobDir(nfs)
    jobdir.write_record({"uuid": "u", "name": "mnist"})
    return jobdir


def test_the_record_says_where(jobdir):
    with closing(open_store(jobdir)) as store:
        (trial,) = store.add([Draft({"x": [1.0]})])
    assert jobdir.read_record() == {
        "uuid": "u",
        "name": "mnist",
        "database": {"host": socket.gethostname(), "path": "trials.db"},
    }
    with closing(open_store(jobdir)) as store:
        assert store.changes()[1] == [trial]


def test_a_moved_job_directory_opens(jobdir, tmp_path):
    open_store(jobdir).close()
    moved = JobDir(jobdir.path.rename(tmp_path / "moved"))
    open_store(moved).close()


def test_no_run_yet(tmp_path):
    with pytest.raises(StoreError, match=r"no experiment here .*`hpcho run` starts one"):
        open_store(JobDir(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_gone_is_not_made_anew(jobdir):
    open_store(jobdir).close()
    (jobdir.path / "trials.db").unlink()
    with pytest.raises(StoreError, match="the database of this run is gone"):
        open_store(jobdir)


@pytest.fixture
def shared(jobdir, mounts, tmp_path, monkeypatch):
    """The job directory on NFS, as this process sees it."""
    monkeypatch.setattr(location, "read_mountinfo", lambda: mounts)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return jobdir


def test_beside_a_shared_job_directory(shared, tmp_path):
    with closing(open_store(shared)) as store:
        (trial,) = store.add([Draft({"x": [1.0]})])
    path = tmp_path / "state" / "hpcho" / "u" / "trials.db"
    assert path.is_file()
    assert shared.read_record()["database"] == {"host": socket.gethostname(), "path": str(path)}
    assert not (shared.path / "trials.db").exists()
    with closing(open_store(shared)) as store:
        assert store.changes()[1] == [trial]


def test_from_another_host(shared):
    open_store(shared).close()
    record = shared.read_record()
    shared.write_record({**record, "database": {**record["database"], "host": "login7"}})
    with pytest.raises(StoreError, match=r"is on a disk of login7 .*: run the command on login7"):
        open_store(shared)


def test_a_local_job_directory_seen_over_the_network(shared):
    shared.write_record({"uuid": "u", "database": {"host": "head", "path": "trials.db"}})
    with pytest.raises(
        StoreError, match="is on nfs4 here, where sqlite databases get damaged: run the command on head"
    ):
        open_store(shared)
