"""A TPM that takes its time: only signatures wait for it. How fast is measured in tests/bench."""

from tests.support.tpm_proxy import SIGNING, Gate, TpmProxy
from tests.support.victims import Victim, found, head_lack

BATCHES, BATCH = 20, 500


def test_what_is_handed_in_while_the_tpm_signs_is_acknowledged_then_and_covered_later(
    behind_proxy: Victim, proxy: TpmProxy
) -> None:
    victim = behind_proxy
    trust = victim.trust()
    gate = Gate(*SIGNING)
    proxy.before = gate
    with gate.closed():
        victim.take()
        gate.await_held()
        for _ in range(BATCHES):
            last = victim.take(BATCH)  # every one of them is acknowledged before the TPM goes on
        signed_size = victim.status()["log"]["checkpoint_size"]
        assert signed_size < last
    status = victim.cover(last)
    assert (found(status), head_lack(status)) == (set(), None)
    report = victim.judged(trust)
    assert report.code == "VERIFIED"
    victim.assert_nothing_is_lost()
