"""Edge: owner, mode, times and extended attributes of what is unpacked from a tar.

Nothing is set twice: what the kernel gives a new file as it was asked for is left as it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile

from pogu.storage.rooted import Place, RootedTree
from pogu.storage.tarheader import Entry

__all__ = ["Metadata"]

_DEFAULT_ACL = "system.posix_acl_default"


class Metadata:
    """For one unpacking. Remembers what each entry means for those that follow.

    With `always`, owner and mode of everything are set: below a directory that others made there
    may be default ACLs and groups that are passed on anywhere.
    """

    def __init__(self, tree: RootedTree, *, always: bool = False) -> None:
        self._tree = tree
        self._always = always
        self._given = 0 if always else _modes_given_exactly(tree.root_fd)
        self._passing_on: set[str] = set()
        """Directories whose group (set-group-ID) goes to what is made in them."""
        self._directory_times: dict[str, int] = {}

    def mode_at_creation(self, entry: Entry) -> int:
        """The bits to make a file with; the others want a chmod."""
        return entry.mode & self._given

    def set(self, fd: int, entry: Entry, place: Place) -> None:
        """Owner, mode (in this order: a change of owner takes set-user-ID away), xattrs."""
        if self._owned(entry, place):
            os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        if entry.kind == tarfile.DIRTYPE and entry.mode & stat.S_ISGID:
            self._passing_on.add(place.real_path)
        for name, value in entry.xattrs.items():
            if name == _DEFAULT_ACL:
                self._given = 0
            _set_xattr(fd, name, value)

    def set_of_new_file(self, fd: int, entry: Entry, place: Place) -> None:
        """What a file made with `mode_at_creation` lacks, and its time."""
        if entry.mode & ~self._given or entry.xattrs or self._owned(entry, place):
            self.set(fd, entry, place)
        os.utime(fd, ns=(entry.time_ns, entry.time_ns))

    def _owned(self, entry: Entry, place: Place) -> bool:
        """Whether it is another's than what is made here gets by itself."""
        return bool(entry.uid or entry.gid or self._always or place.real in self._passing_on)

    def set_of_link(self, entry: Entry, place: Place) -> None:
        """Owner and time of what must not be opened: a link, a device, a pipe."""
        if self._owned(entry, place):
            os.chown(place.name, entry.uid, entry.gid, dir_fd=place.parent, follow_symlinks=False)
        times = (entry.time_ns, entry.time_ns)
        os.utime(place.name, ns=times, dir_fd=place.parent, follow_symlinks=False)

    def set_time_at_end(self, directory: str, time_ns: int) -> None:
        """A directory's time: everything that is made in it changes it."""
        self._directory_times[directory] = time_ns

    def finish(self) -> None:
        """Set the directories' times, after everything in them was made."""
        for path, time_ns in self._directory_times.items():
            try:
                fd = self._tree.open_directory(path, links=False)
            except OSError:
                continue  # replaced by a later entry
            try:
                os.utime(fd, ns=(time_ns, time_ns))
            finally:
                os.close(fd)


def _modes_given_exactly(root_fd: int) -> int:
    """Return the mode bits that a new file gets as they are asked for, without chmod.

    Those that the umask leaves; none where a default ACL decides (acl(5)).
    """
    with contextlib.suppress(OSError):
        if _DEFAULT_ACL in os.listxattr(root_fd):
            return 0
    with open("/proc/self/status") as status:
        umask = next((line for line in status if line.startswith("Umask:")), "Umask: 777")
    return 0o777 & ~int(umask.split()[1], 8)


def _set_xattr(fd: int, name: str, value: str) -> None:
    """Set what the file system takes; SELinux labels and overlay's own marks are not ours."""
    if name.startswith(("trusted.overlay.", "security.selinux")):
        return
    try:
        os.setxattr(fd, name, value.encode("utf-8", "surrogateescape"))
    except OSError as err:
        if err.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
