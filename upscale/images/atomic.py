"""Files that appear whole or not at all.

Bytes go to a hidden temporary file in the target's folder, which takes the target's name only when it is
complete. Whatever stops that, Ctrl-C included, removes the temporary file and leaves what was there before;
after a kill that leaves no time to clean up, the next run removes it (`sweep`).
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from upscale.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY_SUFFIX = ".upscale-part"
_TEMPORARY = re.compile(rf"\..*\.[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}", re.DOTALL)
_MAX_NAME_BYTES = 255  # of nearly all file systems
_BUFFER_BYTES = 1 << 20
_unfinished: set[Path] = set()  # temporary files of this process

# What the file system answers where it has no hard links (FAT, many network and Android mounts).
_NO_LINKS = {
    errno.EINVAL,  # Windows
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
}

_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EROFS}  # of file systems that cannot

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Make room, or choose another folder."),
    errno.EDQUOT: ("the disk quota is used up", "Make room, or choose another folder."),
    errno.EFBIG: (
        "the file would be larger than is allowed here",
        "Choose a smaller format, or another folder.",
    ),
    errno.EACCES: ("permission denied", "Choose another folder."),
    errno.EPERM: ("permission denied", "Choose another folder."),
    errno.EROFS: ("the file system is read-only", "Choose another folder."),
    errno.ENOENT: ("its folder does not exist", "Make the folder first, or choose another one."),
    errno.ENOTDIR: ("a part of its path is a file, not a folder", "Choose another folder."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.ELOOP: ("its links lead in a circle", "Choose another name."),
}


def output_error(name: str | Path, error: OSError) -> OutputError:
    """Return the `OutputError` that says why `name` could not be written."""
    reason, hint = _REASONS.get(error.errno or 0, (error.strerror or str(error), None))
    return OutputError(f"{name} cannot be written: {reason}.", hint=hint)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Check what can be checked of a target before any work is done for it; nothing is touched.

    Raises:
        OutputError: It exists and may not be replaced, is a folder or no regular file, or its folder does not
            exist.
    """
    try:
        status: os.stat_result | None = path.stat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise output_error(path, error) from error
    except ValueError:  # a NUL in the name
        raise OutputError(f"{str(path)!r} is not a possible file name.") from None
    if status is None:
        if not path.resolve().parent.is_dir():  # where a link points to
            raise output_error(path, OSError(errno.ENOENT, "no folder"))
        return
    if stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{path} is a folder.", hint="Give a file name.")
    if not stat.S_ISREG(status.st_mode):  # replacing /dev/null would be a disaster
        raise OutputError(f"{path} is not a regular file.", hint="Give -o - to write to standard output.")
    if not overwrite:
        raise _exists(path)


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open a binary file for writing that becomes `path` when the block ends well.

    With `overwrite` an existing file is replaced (a symbolic link stays, its file is replaced); without, it
    is never touched, not even if it appears in the meantime. The mode is that of a new file under the umask.

    Raises:
        OutputError: See `check_target`; or the operating system refused something.
    """
    check_target(path, overwrite=overwrite)
    try:
        target = path.resolve() if path.is_symlink() else path
        temporary, file = _create(target)
        _unfinished.add(temporary)
        try:
            with file:
                yield file
                _to_disk(file)
                if os.name == "nt":  # where an open file cannot be renamed
                    file.close()
                if overwrite:
                    temporary.replace(target)
                else:
                    _move_without_clobbering(temporary, target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            _unfinished.discard(temporary)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise output_error(path, error) from error


def discard_unfinished() -> None:
    """Remove the temporary files of this process, which is about to end before their writers have."""
    for path in list(_unfinished):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Remove the temporary files that killed processes left in a folder; return how many.

    Those of living processes are locked, and where locks do not work nothing is removed.
    """
    removed = 0
    try:
        with os.scandir(folder) as entries:
            left = [Path(entry) for entry in entries if _TEMPORARY.fullmatch(entry.name)]
    except OSError:  # no such folder yet, or one that may not be looked through
        return 0
    for path in left:
        with suppress(OSError):
            if not stat.S_ISREG(path.lstat().st_mode):
                continue
            if fcntl is None:  # Windows: only a file that nobody has open can be removed
                path.unlink()
                removed += 1
                continue
            with path.open("r+b") as file:  # NFS locks only what may be written
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its writer lives
                path.unlink()
                removed += 1
    return removed


def _create(target: Path) -> tuple[Path, IO[bytes]]:
    """Open a new, locked temporary file beside a target."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_EXCL, 0o666)  # less the umask, unlike tempfile's 0600

    while True:
        path = target.with_name(_temporary_name(target.name))
        file = open(path, "xb", buffering=_BUFFER_BYTES, opener=opener)  # noqa: PTH123, SIM115 - Path.open has no opener
        if fcntl is None:
            return path, file
        try:
            with suppress(OSError):  # file systems without locks: `sweep` cannot lock either
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                return path, file
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        file.close()  # a sweep came between creating and locking it


def _to_disk(file: IO[bytes]) -> None:
    """Wait until the content is on the disk, so that no power cut leaves a name without it."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _move_without_clobbering(source: Path, target: Path) -> None:
    """Give `source` the name `target`.

    Raises:
        FileExistsError: There is such a file; it is untouched.
    """
    try:
        target.hardlink_to(source)  # atomic, and fails if the name is taken
    except FileExistsError:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
        target.touch(exist_ok=False)  # take the name exclusively, then replace our own empty file
        try:
            source.replace(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _temporary_name(name: str) -> str:
    ending = f".{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"  # as `_TEMPORARY` knows it
    room = _MAX_NAME_BYTES - len(ending) - 1
    return "." + os.fsencode(name)[:room].decode(sys.getfilesystemencoding(), "ignore") + ending


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path} exists already.", hint="Give --overwrite to replace it, or another name.")
