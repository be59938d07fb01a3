"""Places, memory and turns: nobody is hurt by another."""

import asyncio
from dataclasses import dataclass

from swt3_agent.relay.sharing import Admission, InputPool, Turns


@dataclass(eq=False)
class Guest:
    name: str
    busy: bool = False


def test_the_longest_silent_guest_leaves_first_then_the_longest_idle_one() -> None:
    admission: Admission[Guest] = Admission(3)
    a, b, c, d, e, f = (Guest(name) for name in "abcdef")
    assert [admission.admit(guest) for guest in (a, b, c)] == [None, None, None]
    admission.heard(a)
    assert admission.admit(d) is b
    admission.heard(c)
    admission.heard(d)
    admission.heard(a)
    c.busy = True
    assert admission.admit(e) is d
    admission.heard(e)
    admission.left(e)
    assert admission.admit(f) is None
    assert list(admission) == [f, c, a]


@dataclass(eq=False)
class Holder:
    unfinished_bytes: int = 0
    steered: int = 0
    cut: bool = False

    def steer(self) -> None:
        self.steered += 1

    def cut_off(self) -> None:
        self.cut = True


def test_a_full_pool_stops_everyone_and_cuts_off_the_largest_unfinished() -> None:
    pool = InputPool(100)
    small, middle, large = Holder(10), Holder(35), Holder(56)
    for holder in (small, middle, large):
        pool.join(holder)
        pool.account(holder.unfinished_bytes)
    full = [pool.full]
    assert [holder.cut for holder in (small, middle, large)] == [False, False, True]
    assert [holder.steered for holder in (small, middle, large)] == [1, 1, 1]
    pool.account(-50)
    full.append(pool.full)
    pool.account(-6)
    full.append(pool.full)
    assert full == [True, True, False], "half of it must be free again first"
    assert small.steered == 2


@dataclass(eq=False)
class Worker:
    name: str
    log: list[str]
    portions: int
    next_is_small: bool = False
    fails: bool = False
    done: int = 0

    @property
    def midway(self) -> bool:
        return 0 < self.done < self.portions

    def take_turn(self) -> bool:
        if self.fails:
            raise RuntimeError("a bug")
        self.done += 1
        self.log.append(self.name)
        return self.done < self.portions

    def abort(self) -> None:
        self.log.append(f"{self.name} given up")


def _served(*workers: Worker) -> None:
    async def serve() -> None:
        turns = Turns(asyncio.get_running_loop(), budget_s=0.0)
        for worker in workers:
            turns.arrived(worker)
        for _ in range(100):  # rounds of the loop: more than they need
            await asyncio.sleep(0)

    asyncio.run(serve())


def test_large_requests_are_taken_up_one_after_the_other_and_small_ones_at_once() -> None:
    log: list[str] = []
    _served(
        Worker("large", log, 3),
        Worker("other", log, 2),
        Worker("small", log, 1, next_is_small=True),
    )
    assert log == ["large", "small", "large", "large", "other", "other"]


def test_a_bug_met_by_one_connection_stops_no_other() -> None:
    log: list[str] = []
    _served(Worker("large", log, 2), Worker("broken", log, 2, fails=True), Worker("last", log, 1))
    assert log == ["large", "large", "broken given up", "last"]
