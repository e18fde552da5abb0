"""`python -m tests.cluster.providers.init`: makes the namespaces of a cell, and is the first process in them."""

import ctypes
import os
import signal
import sys

_NEW_MOUNTS, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x20000000, 0x40000000  # linux/sched.h
_RECURSIVE, _PRIVATE = 0x4000, 0x40000  # sys/mount.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Live for as long as the cell is wanted: a first process dies with its parent, and takes all others along."""
    _checked(_libc.unshare(_NEW_MOUNTS | _NEW_PROCESSES | _NEW_NETWORK))
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        sys.exit("the first process has ended")
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
    _checked(_libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None))
    _checked(_libc.mount(b"proc", b"/proc", b"proc", 0, None))
    _bury()


def _bury() -> None:
    """Wait for those whose parents have died, and else do nothing."""
    signal.signal(signal.SIGCHLD, lambda *_: None)  # so that pause returns
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            signal.pause()


def _checked(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
