"""Duplicates are known by client and batch, with memory that is bounded."""

from swt3_agent.relay.batches import BatchMemory
from swt3_agent.relay.exchange import Exchange
from swt3_agent.relay.limits import IntakeLimits


class _Outlet:
    def flush(self) -> None: ...
    def resume(self) -> None: ...


def _memory(**limits: int) -> BatchMemory:
    return BatchMemory(IntakeLimits(**limits))


def _stored(memory: BatchMemory, client: str, batch: int) -> None:
    memory.settle(memory.start((client, batch), Exchange("id", _Outlet())), b"answer")


def test_of_a_client_that_the_store_was_not_asked_about_nothing_is_new() -> None:
    memory = _memory()
    assert not memory.is_new(("a", 5))
    memory.learn_highest("a", 4)
    assert memory.is_new(("a", 5))
    assert not memory.is_new(("a", 4))
    memory.learn_highest("b", None)
    assert memory.is_new(("b", 0))


def test_a_stored_batch_is_not_new_even_after_its_answer_is_forgotten() -> None:
    memory = _memory(max_remembered_batches=2)
    memory.learn_highest("a", None)
    for batch in (0, 1, 2):
        _stored(memory, "a", batch)
    assert memory.answer(("a", 0)) is None
    assert memory.answer(("a", 2)) == b"answer"
    assert not memory.is_new(("a", 0))
    assert memory.is_new(("a", 3))


def test_a_client_that_was_forgotten_while_its_batch_was_in_flight_is_asked_about_again() -> None:
    memory = _memory(max_remembered_clients=1)
    memory.learn_highest("a", 10)
    pending = memory.start(("a", 5), Exchange("id", _Outlet()))
    memory.learn_highest("b", None)
    memory.settle(pending, b"answer")
    assert not memory.is_new(("a", 7)), "7 may be among the ten"


def test_a_batch_that_failed_may_come_again() -> None:
    memory = _memory()
    memory.learn_highest("a", None)
    pending = memory.start(("a", 0), Exchange("id", _Outlet()))
    assert memory.pending(("a", 0)) is pending
    memory.forget(pending)
    assert memory.pending(("a", 0)) is None
    assert memory.is_new(("a", 0))


def test_remembered_answers_are_bounded_in_bytes() -> None:
    memory = _memory(max_remembered_bytes=100)
    for batch in range(10):
        memory.remember(("a", batch), bytes(40))
    assert [memory.answer(("a", batch)) is None for batch in (7, 8, 9)] == [True, False, False]
