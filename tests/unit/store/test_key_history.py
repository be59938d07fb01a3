from swt3_agent.protocol.key_record import Certification, KeyEvent, KeyRecord
from swt3_agent.store.key_history import KeyStep, signer_of, succession_to

CERTIFIED = Certification(b"old", b"attest", b"signature")


def step(seq: int, event: KeyEvent, key: bytes | None) -> KeyStep:
    certification = CERTIFIED if event is KeyEvent.ROTATED else None
    return KeyStep(seq, 0, KeyRecord(event, key or b"a", key, "tpm", certification))


CREATED = step(1, KeyEvent.CREATED, b"a")
ROTATED = step(10, KeyEvent.ROTATED, b"b")
AGAIN = step(20, KeyEvent.ROTATED, b"c")
REPLACED = step(30, KeyEvent.REPLACED, b"d")
LAST = step(40, KeyEvent.ROTATED, b"e")
RETIRED = step(15, KeyEvent.RETIRED, None)
ALL = [CREATED, ROTATED, RETIRED, AGAIN, REPLACED, LAST]


def test_a_log_without_keys_names_none() -> None:
    assert signer_of([], 100).ak_public == b""


def test_a_rotated_key_signs_once_a_head_covers_its_record() -> None:
    before = signer_of([CREATED, ROTATED], 10)
    assert (before.ak_public, before.successor) == (b"a", ROTATED)
    after = signer_of([CREATED, ROTATED], 11)
    assert (after.ak_public, after.successor) == (b"b", None)


def test_a_retirement_changes_nobody_who_signs() -> None:
    assert signer_of([CREATED, ROTATED, RETIRED], 20).ak_public == b"b"


def test_a_replacement_signs_at_once_and_ends_a_rotation_that_waits() -> None:
    signer = signer_of([CREATED, ROTATED, REPLACED], 10)
    assert (signer.ak_public, signer.successor) == (b"d", None)


def test_a_succession_leads_to_a_key_from_the_last_one_that_nothing_vouches_for() -> None:
    assert succession_to(ALL, b"a") == []
    assert succession_to(ALL, b"c") == [ROTATED, AGAIN]
    assert succession_to(ALL, b"d") == []
    assert succession_to(ALL, b"e") == [LAST]
    assert succession_to(ALL, b"nobody's") == []
