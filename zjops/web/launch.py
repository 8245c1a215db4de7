"""Begins a program in the terminal that it was given, as the one whose terminal it is.

A program of its own, which loads nothing: without it the program would hear neither of a new size nor of the hang-up
that ends it when the server dies, however the server dies.
"""

import fcntl
import os
import sys
import termios


def main() -> None:
    """Take standard input as the controlling terminal, and become the program that the arguments name."""
    try:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    except OSError:
        # Nobody is at the other end any more.
        sys.exit(1)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606


if __name__ == "__main__":
    main()
