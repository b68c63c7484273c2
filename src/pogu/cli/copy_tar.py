"""Edge: `cp`'s archives on this side: made of local files, and unpacked into them.

What a container sends is not trusted: no link, of the archive or already there, is followed.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator

from pogu.cli.failure import CliError

__all__ = ["pack", "unpack"]

_BLOCK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


# ---- pack --------------------------------------------------------------------------------------


def pack(path: str, name: str, *, keep_owner: bool) -> Iterator[bytes]:
    """Yield a tar of a file or a directory, which is called `name` in it (empty: its content)."""
    links: dict[tuple[int, int], str] = {}
    waiting = [(path, name)]
    while waiting:
        full, own = waiting.pop()
        info = os.lstat(full)
        if own:
            yield from _entry(full, own, info, links, keep_owner=keep_owner)
        if stat.S_ISDIR(info.st_mode):
            children = sorted(os.listdir(full), reverse=True)
            waiting += [(os.path.join(full, one), os.path.join(own, one)) for one in children]
    yield bytes(1024)


def _entry(
    full: str,
    name: str,
    info: os.stat_result,
    links: dict[tuple[int, int], str],
    *,
    keep_owner: bool,
) -> Iterator[bytes]:
    mode = info.st_mode
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = stat.S_IMODE(mode), info.st_mtime_ns // 1_000_000_000
    if keep_owner:
        entry.uid, entry.gid = info.st_uid, info.st_gid
    if stat.S_ISSOCK(mode):
        return  # has no place in a tar
    if stat.S_ISDIR(mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(full)
    elif stat.S_ISFIFO(mode):
        entry.type = tarfile.FIFOTYPE
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        entry.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        entry.devmajor, entry.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    elif info.st_nlink > 1 and (info.st_dev, info.st_ino) in links:
        entry.type, entry.linkname = tarfile.LNKTYPE, links[info.st_dev, info.st_ino]
    else:
        links[info.st_dev, info.st_ino] = name
        yield from _file(full, entry)
        return
    yield entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _file(full: str, entry: tarfile.TarInfo) -> Iterator[bytes]:
    """The size counts that the open file has; one that becomes shorter is filled up."""
    with open(full, "rb", buffering=0) as file:
        entry.size = left = os.fstat(file.fileno()).st_size
        yield entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        while left:
            data = file.read(min(left, _BLOCK)) or bytes(min(left, _BLOCK))
            yield data
            left -= len(data)
    yield bytes(-entry.size % 512)


# ---- unpack ------------------------------------------------------------------------------------


class _Pieces(io.RawIOBase):
    """The pieces of an answer as a file; counts them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
            self.size += len(self._rest)
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def unpack(
    pieces: Iterator[bytes], base: str, directory: str, name: str, *, keep_owner: bool
) -> int:
    """Unpack an archive whose names begin with `base` as `name` in a directory; return its bytes.

    Raises: CliError in Docker's words.
    """
    file = _Pieces(pieces)
    unpacker = _Unpacker(base, directory, name, keep_owner=keep_owner)
    try:
        with tarfile.open(fileobj=io.BufferedReader(file, _BLOCK), mode="r|") as tar:
            for entry in tar:
                unpacker.entry(tar, entry)
        for _ in pieces:
            pass
    except (tarfile.TarError, EOFError) as err:
        raise CliError(f"the archive is broken: {err}", hint="run the command again") from err
    finally:
        unpacker.close()
    return file.size


class _Unpacker:
    def __init__(self, base: str, directory: str, name: str, *, keep_owner: bool) -> None:
        self._base = base
        self._directory = directory
        self._name = name
        self._keep_owner = keep_owner and os.geteuid() == 0
        self._top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent: tuple[list[str], int] = ([], os.dup(self._top))
        self._times: list[tuple[list[str], float]] = []

    def close(self) -> None:
        """Set the times of directories, after everything in them was made."""
        for parts, mtime in reversed(self._times):
            try:
                parent = self._open_parent(parts[:-1])
                os.utime(parts[-1], (mtime, mtime), dir_fd=parent, follow_symlinks=False)
            except OSError:
                continue
        os.close(self._parent[1])
        os.close(self._top)

    def _parts(self, name: str) -> list[str]:
        if self._base == "/" or name == self._base or name.startswith(f"{self._base}/"):
            rest = name.removeprefix(self._base)
        else:  # tarfile takes the `./` away
            rest = name if self._base == "." else f"../{name}"
        parts = [part for part in f"{self._name}/{rest}".split("/") if part not in ("", ".")]
        if ".." in parts:
            raise CliError(f"the archive is broken: it holds {name!r}")
        return parts

    def _open_parent(self, parts: list[str]) -> int:
        """Open the directory that something stands in, step by step; the last one is kept."""
        if parts == self._parent[0]:
            return self._parent[1]
        fd = os.dup(self._top)
        for part in parts:
            above = fd
            try:
                fd = os.open(part, _DIRECTORY, dir_fd=above)
            finally:
                os.close(above)
        os.close(self._parent[1])
        self._parent = (parts, fd)
        return fd

    def entry(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        """Make one entry in the place of what was there."""
        parts = self._parts(entry.name)
        if not parts:
            return  # the directory itself stays as it is
        parent, name = self._open_parent(parts[:-1]), parts[-1]
        is_there = self._make_room(parts, parent, entry)
        if entry.isreg():
            self._file(tar, entry, name, parent)
            return
        if entry.isdir():
            if not is_there:
                os.mkdir(name, 0o700, dir_fd=parent)
            self._times.append((parts, entry.mtime))
        elif entry.issym():
            os.symlink(entry.linkname, name, dir_fd=parent)
        elif entry.islnk():
            target = self._parts(entry.linkname)
            self._hard_link(target, parts)
            return
        else:
            kind = {tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR}
            device = os.makedev(entry.devmajor, entry.devminor)
            os.mknod(name, kind.get(entry.type, stat.S_IFBLK) | 0o600, device, dir_fd=parent)
        self._set(entry, name, parent)

    def _make_room(self, parts: list[str], parent: int, entry: tarfile.TarInfo) -> bool:
        """Take away what stands there; True when a directory comes to a directory."""
        try:
            there = stat.S_ISDIR(os.lstat(parts[-1], dir_fd=parent).st_mode)
        except FileNotFoundError:
            return False
        if there != entry.isdir():
            path = os.path.join(self._directory, *parts)
            kinds = ("directory", "non-directory") if there else ("non-directory", "directory")
            raise CliError(
                f'cannot overwrite {kinds[0]} "{path}" with {kinds[1]} "{self._directory}"'
            )
        if not there:
            os.unlink(parts[-1], dir_fd=parent)
        return there

    def _file(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, name: str, parent: int) -> None:
        content = tar.extractfile(entry)
        assert content is not None
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        with open(fd, "wb", buffering=0) as file:
            while data := content.read(_BLOCK):
                file.write(data)
            if self._keep_owner:
                os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode & 0o7777)
            os.utime(fd, (entry.mtime, entry.mtime))

    def _hard_link(self, target: list[str], parts: list[str]) -> None:
        source = os.dup(self._open_parent(target[:-1]))
        try:
            parent = self._open_parent(parts[:-1])
            os.link(
                target[-1],
                parts[-1],
                src_dir_fd=source,
                dst_dir_fd=parent,
                follow_symlinks=False,
            )
        finally:
            os.close(source)

    def _set(self, entry: tarfile.TarInfo, name: str, parent: int) -> None:
        if self._keep_owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if not entry.issym():
            os.chmod(name, entry.mode & 0o7777, dir_fd=parent)
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)
