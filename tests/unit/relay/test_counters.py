from collections import Counter

from swt3_agent.relay.answers import Code
from swt3_agent.relay.counters import IntakeCounters, total


def test_listeners_are_counted_together_and_keep_their_own_counts() -> None:
    ours = IntakeCounters(connections=1, relayed=3, rejected=Counter({Code.BUSY: 1}))
    theirs = IntakeCounters(relayed=4, violations=Counter(depth=2), rejected=ours.rejected.copy())
    both = total([ours, theirs])
    assert (both.connections, both.relayed) == (1, 7)
    assert (both.rejected, both.violations) == ({Code.BUSY: 2}, {"depth": 2})
    assert ours.rejected == {Code.BUSY: 1}
    assert total([]) == IntakeCounters()
