"""``python -m tests.soak.counted FILE CLOCK MODULE …``: a program of ours that tells how many tasks it has.

The count is made by a thread of its own from asyncio's own list, so nothing of the program knows of it. The wall clock
goes by ``CLOCK`` as in a drill. The file's name gets the module's behind it, since several programs of a host have one.

Databases keep little in memory here. In the product a cache of 64 MiB fills with the file, for hours at a few messages
a second, and a leak would not be seen beside it. Garbage in circles is collected once a minute, too; in the product it
may be some 10 MiB before that is worth a walk.
"""

import asyncio
import gc
import itertools
import sys
import threading
import time
from pathlib import Path

from node.rehearsal.drill.skewed import main as skewed
from node.spool import database

EVERY_S = 1.0
COLLECT_EVERY = 60
CACHE_KIB = 1024


def count() -> int:
    """Tasks that are not done, of every loop; -1 when the list changed while it was looked at, time and again."""
    for _ in range(20):
        try:
            return sum(not task.done() for task in list(asyncio.tasks._all_tasks))
        except RuntimeError:
            continue
    return -1


def tell(file: Path) -> None:
    """Write the count for ever; whoever reads finds a whole one."""
    beside = file.with_name(f"{file.name}.new")
    for turn in itertools.count(1):
        if (found := count()) >= 0:
            beside.write_text(str(found))
            beside.replace(file)
        if turn % COLLECT_EVERY == 0:
            gc.collect()
        time.sleep(EVERY_S)


if __name__ == "__main__":
    database.WRITER_CACHE_KIB = database.READER_CACHE_KIB = CACHE_KIB
    threading.Thread(target=tell, args=(Path(f"{sys.argv[1]}-{sys.argv[3]}"),), daemon=True, name="counted").start()
    skewed(sys.argv[2:])
