"""A process that appends to a journal and says which records were acknowledged; to be killed.

``producer.py STATE THREADS``: each line on standard output is ``first_seq count thread batch``,
written only after the commit. Started by test_kill.py.
"""

import os
import sys
import threading
from pathlib import Path

from swt3_agent.protocol.record import Kind
from swt3_agent.store.journal import Draft, Journal


def records_of(thread: int, batch: int) -> list[Draft]:
    """The batch, from its numbers alone, so that the test can make it again."""
    count = 1 + (thread * 7 + batch * 13) % 40
    provenance = b'{"batch":%d,"client":"%d","listener":"intake","tenant":"LOCAL"}' % (
        batch,
        thread,
    )
    return [
        Draft(Kind.RELAYED, provenance, b"%d/%d/%d " % (thread, batch, index) * (1 + index * 9))
        for index in range(count)
    ]


def produce(journal: Journal, thread: int, start: int) -> None:
    for batch in range(start, start + 10**9):
        commit = journal.append(records_of(thread, batch)).result()
        line = f"{commit.first_seq} {commit.count} {thread} {batch}\n"
        os.write(sys.stdout.fileno(), line.encode())  # one write: whole lines, whoever writes


def main() -> None:
    root, threads = Path(sys.argv[1]), int(sys.argv[2])
    journal = Journal.open(root / "journal", root / "keys")
    start = journal.size  # never the same batch twice, in whatever round
    for thread in range(threads):
        threading.Thread(target=produce, args=(journal, thread, start), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
