"""The chain of heads over boots, resets, lost quotes and clocks, with heads made of paper."""

from hashlib import sha256

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.protocol.bundle import Head
from swt3_agent.protocol.checkpoint import extended, parse_signed_note
from swt3_agent.verify.bundle.heads import HeadChain
from swt3_agent.verify.bundle.signers import Signers
from tests.support.forge import LOG_ID, NODE_ID, OTHER_AK, ak_public
from tests.support.paper_heads import RESET, Paper


def chain() -> HeadChain:
    return HeadChain.of(NODE_ID, LOG_ID, Signers.of([ak_public()]), 13)


def seen(*heads: Head) -> HeadChain:
    made = chain()
    for head in heads:
        made.see_head(head)
    return made


def refused(*heads: Head) -> str:
    with pytest.raises(FormatError) as error:
        seen(*heads)
    return error.value.code


def codes(made: HeadChain) -> list[str]:
    return [found.code for found in made.irregularities]


def test_heads_of_one_boot_follow_each_other() -> None:
    node = Paper()
    made = seen(*[node.head() for _ in range(4)])
    assert (made.count, made.signed, codes(made)) == (4, 4, [])


def test_a_hidden_head_is_found() -> None:
    node = Paper()
    first, _, third = node.head(), node.head(), node.head()
    assert refused(first, third) == "HEAD_PREVIOUS"


def test_a_head_that_only_the_register_knows_is_found() -> None:
    node = Paper()
    first = node.head()
    node.value = extended(node.value, b"another history")
    assert refused(first, node.head()) == "HEAD_CHAIN"


def unsigned(head: Head) -> Head:
    return Head(head.seq, head.checkpoint.split("\n\n")[0] + "\n")


def test_heads_before_the_range_lead_to_a_signed_one_or_are_in_doubt() -> None:
    node = Paper()
    previous = node.head()
    node.reboot()
    hidden = Paper(boot=node.boot, resets=node.resets, seq=9)  # another history had the boot first
    before_range = RESET
    for _ in range(3):
        hidden.head()
        before_range += hidden.previous
    node.value = hidden.value
    with pytest.raises(FormatError, match="do not replay"):
        chain().begin(previous, before_range)
    made = chain()
    made.begin(unsigned(previous), before_range)
    made.see_head(node.head())
    assert [(found.code, found.decides) for found in made.irregularities] == [
        ("LOG_PCR_START", True)
    ]


def test_resets_since_an_unsigned_head_before_the_range_are_in_doubt() -> None:
    node = Paper()
    previous = node.head()
    node.reboot(resets=5)
    signed = chain()
    signed.begin(previous, b"")
    stripped = chain()
    stripped.begin(unsigned(previous), b"")
    head = node.head()
    signed.see_head(head)
    stripped.see_head(head)
    assert codes(signed) == ["RESETS_UNACCOUNTED"]
    assert codes(stripped) == ["LOG_PCR_START"]
    assert stripped.irregularities[0].size == head.seq


def test_a_note_extended_and_never_quoted_explains_the_register() -> None:
    node = Paper()
    made = seen(node.head(), node.head(signed=False), node.head(signed=False, extends=False))
    made.see_head(node.head())
    assert (made.count, made.signed, codes(made)) == (4, 2, [])


def test_a_reboot_begins_a_chain_at_the_reset_value() -> None:
    node = Paper()
    heads = [node.head()]
    node.reboot()
    made = seen(*heads, node.head(), node.head())
    assert (made.resets, codes(made)) == (1, [])


def test_a_chain_that_begins_elsewhere_is_in_doubt() -> None:
    node = Paper(value=b"\1" * 32)
    assert codes(seen(node.head(), node.head())) == ["LOG_PCR_START"]
    node = Paper()
    first = node.head()
    node.reboot()
    node.value = b"\1" * 32
    assert codes(seen(first, node.head())) == ["LOG_PCR_START"]


def test_a_boot_that_the_log_does_not_know_is_in_doubt() -> None:
    node = Paper()
    first = node.head()
    node.reboot(resets=2)
    made = seen(first, node.head())
    assert codes(made) == ["RESETS_UNACCOUNTED"]
    assert made.irregularities[0].decides


def test_a_boot_without_a_head_is_accounted_for_by_its_record_and_said() -> None:
    node = Paper()
    made = seen(node.head())
    node.reboot()
    made.see_boot(node.boot)
    node.reboot()
    made.see_head(node.head())
    assert codes(made) == ["BOOT_WITHOUT_HEAD"]
    assert not made.irregularities[0].decides


def test_a_kexec_is_said_and_its_chain_goes_on() -> None:
    node = Paper()
    first = node.head()
    node.reboot(resets=0)
    made = seen(first, node.head())
    assert codes(made) == ["BOOT_WITHOUT_TPM_RESET"]
    assert made.irregularities[0].decides
    node.reboot(resets=0)
    node.value = RESET
    with pytest.raises(FormatError, match="leads the log PCR"):
        made.see_head(node.head())


def test_a_reset_under_a_running_system_is_refused() -> None:
    node = Paper()
    first = node.head()
    node.resets += 1
    node.value = RESET
    assert refused(first, node.head()) == "HEAD_RESET"


def test_a_boot_that_takes_the_name_of_an_earlier_one_is_refused() -> None:
    """Its registers would be judged as those of that boot."""
    node = Paper()
    first = node.head()
    node.reboot()
    second = node.head()
    node.reboot()
    node.boot = "boot-1"
    assert refused(first, second, node.head()) == "HEAD_RESET"


@pytest.mark.parametrize(
    ("change", "code"), [({"clock_ms": 1}, "HEAD_CLOCK"), ({"restarts": -1}, "HEAD_RESTARTS")]
)
def test_what_falls_within_a_boot_is_refused(change: dict[str, int], code: str) -> None:
    node = Paper(restarts=3)
    first = node.head()
    node.clock_ms = change.get("clock_ms", node.clock_ms)
    node.restarts += change.get("restarts", 0)
    assert refused(first, node.head()) == code


def test_resets_that_fall_are_refused() -> None:
    node = Paper()
    first = node.head()
    node.reboot(resets=-1)
    assert refused(first, node.head()) == "HEAD_RESETS"


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_a_cleared_tpm_is_told_from_one_that_was_reset(boot: str) -> None:
    node = Paper()
    first = node.head()
    node.boot, node.resets, node.clock_ms, node.value = boot, 0, 0, RESET
    assert refused(first, node.head()) == "HEAD_CLEARED"


@pytest.mark.parametrize(("resets", "restarts"), [(2**24, 0), (7, 0xDEADBEEF)])
def test_displaced_counts_are_those_of_a_key_in_the_wrong_hierarchy(
    resets: int, restarts: int
) -> None:
    assert refused(Paper(resets=resets, restarts=restarts).head()) == "HEAD_OBFUSCATED"


def test_a_clock_may_lag_after_a_reset_and_no_further() -> None:
    node = Paper(clock_ms=10_000_000)
    first = node.head()
    node.reboot()
    node.clock_ms -= 2**22
    assert codes(seen(first, node.head())) == []
    node = Paper(clock_ms=10_000_000)
    first = node.head()
    node.reboot()
    node.clock_ms -= 2**22 + 20_000
    assert refused(first, node.head()) == "HEAD_CLOCK"


def test_a_node_clock_that_is_set_is_said() -> None:
    node = Paper()
    first = node.head()
    node.utc_ms -= 3_600_000
    made = seen(first, node.head())
    assert codes(made) == ["CLOCK_BACKDATED"]
    assert made.irregularities[0].decides
    node = Paper()
    first = node.head()
    node.utc_ms += 3_600_000
    made = seen(first, node.head())
    assert codes(made) == ["CLOCK_STEP"]
    assert not made.irregularities[0].decides


def test_a_clock_is_not_put_back_little_by_little() -> None:
    node = Paper()
    heads = []
    for _ in range(4):
        heads.append(node.head())
        node.utc_ms -= 30_000
    assert codes(seen(*heads)) == ["CLOCK_BACKDATED"]


def test_a_boot_that_says_it_is_earlier_than_the_one_before_is_in_doubt() -> None:
    node = Paper()
    first = node.head()
    node.reboot()
    node.utc_ms -= 86_400_000
    assert codes(seen(first, node.head())) == ["CLOCK_BACKDATED"]


def test_the_lag_of_a_clock_after_a_power_cut_hides_no_backdating() -> None:
    node = Paper(clock_ms=10_000_000)
    first = node.head()
    node.reboot()
    node.clock_ms -= 2**22
    node.utc_ms -= 2**22
    assert codes(seen(first, node.head())) == ["CLOCK_BACKDATED"]


def test_a_head_of_another_key_is_refused() -> None:
    node = Paper()
    first = node.head()
    node.key = OTHER_AK
    assert refused(first, node.head()) == "NOTE_KEY_ID"


def test_a_head_without_what_it_takes_to_check_it_is_refused() -> None:
    head = Paper().head()
    assert refused(Head(head.seq, head.checkpoint)) == "HEAD_QUOTE"


def test_a_quote_twice_or_of_another_note_is_refused() -> None:
    node = Paper()
    first, second = node.head(), node.head()
    assert second.quote is not None
    made = seen(first)
    with pytest.raises(FormatError) as error:
        made.see_quote(second.checkpoint.encode(), b"", {})
    assert error.value.code == "HEAD_QUOTE"


def test_sizes_do_not_fall_and_do_not_exceed_the_record() -> None:
    node = Paper()
    first = node.head()
    node.size = -1
    assert refused(first, node.head(signed=False)) == "HEAD_SIZE"
    head = Paper().head(signed=False)
    assert refused(Head(0, head.checkpoint)) == "HEAD_SIZE"


def test_heads_before_the_range_replay_from_the_reset() -> None:
    node = Paper()
    earlier = [node.head() for _ in range(3)]
    digests = b"".join(
        sha256(h.checkpoint.split("\n\n")[0].encode() + b"\n").digest() for h in earlier
    )
    made = chain()
    made.begin(earlier[-1], RESET + digests)
    made.see_head(node.head())
    assert (made.count, codes(made)) == (1, [])
    for wrong in (RESET + digests[:-32], RESET + digests[32:], b"\1" * 32 + digests):
        with pytest.raises(FormatError) as error:
            chain().begin(earlier[-1], wrong)
        assert error.value.code == "HEAD_CHAIN"


def test_heads_before_the_range_must_be_there_within_a_boot_only() -> None:
    node = Paper()
    earlier = node.head()
    made = chain()
    made.begin(earlier, b"")
    with pytest.raises(FormatError, match="are not here"):
        made.see_head(node.head())
    node = Paper()
    earlier = node.head()
    node.reboot()
    made = chain()
    made.begin(earlier, b"")
    made.see_head(node.head())
    assert codes(made) == []


def test_an_unsigned_log_is_a_chain_of_notes() -> None:
    node = Paper()
    made = HeadChain.of(NODE_ID, LOG_ID, Signers.of([]), None)
    for _ in range(3):
        made.see_head(node.head(signed=False))
    assert (made.count, made.signed) == (3, 0)


def test_heads_before_the_range_need_the_last_of_them() -> None:
    """Else a history that begins amid another's heads could tell them as its own."""
    other = Paper()
    told = RESET + b"".join(extended_by(other.head()) for _ in range(3))
    with pytest.raises(FormatError) as error:
        chain().begin(None, told)
    assert error.value.code == "HEAD_CHAIN"


def test_a_range_may_begin_at_the_quote_of_the_head_before_it() -> None:
    node = Paper()
    earlier = node.head()
    made = chain()
    made.begin(earlier, RESET + extended_by(earlier))
    assert earlier.quote is not None
    pcrs = {int(index): bytes.fromhex(value) for index, value in earlier.quote.pcrs.items()}
    made.see_quote(earlier.checkpoint.encode(), bytes.fromhex(earlier.quote.before), pcrs)
    made.see_head(node.head())
    assert (made.count, made.signed, codes(made)) == (1, 1, [])


def extended_by(head: Head) -> bytes:
    return parse_signed_note(head.checkpoint.encode()).note.digest()
