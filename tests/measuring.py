"""What coverage need not watch: it makes a loop take half as long again, and sees nothing new after the first rounds.

Only the thread that runs the test is left alone, and only while it runs: what fixtures build and other threads do is measured.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unmeasured() -> Iterator[None]:
    """Do without a trace function in this thread until the block ends."""
    watching = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(watching)
