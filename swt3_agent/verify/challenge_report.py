"""What judging a challenge answer found."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from swt3_agent.protocol.pcr_values import pcrs_text
from swt3_agent.protocol.reference import Reference
from swt3_agent.protocol.trust import TrustStatement
from swt3_agent.tcg.attest import Attest
from swt3_agent.tcg.public import EccPublic
from swt3_agent.verify.limits import about_enroller
from swt3_agent.verify.report import Verification, printable


@dataclass(frozen=True, slots=True)
class ChallengeReport(Verification):
    """Outcome of ``verify_challenge``. ``attest`` and ``pcrs`` are None where it is false;
    ``judged_ms`` is the verifier's UTC time then, if he gave it."""

    attest: Attest | None = None
    pcrs: Mapping[int, bytes] | None = None
    statement: TrustStatement | None = None
    keys: tuple[EccPublic, ...] = ()
    judged_ms: int | None = None

    def without_content(self) -> "ChallengeReport":
        """Nothing in a false answer is worth showing."""
        return replace(self, attest=None, pcrs=None, not_proven=())

    def to_json(self) -> dict[str, object]:
        """JSON-able form, schema ``swt3-agent/verify/1`` (docs/formats.md, "Challenge quote")."""
        attest, pcrs = self.attest, self.pcrs or {}
        return {
            **self.summary_json(),
            "challenge": attest
            and {
                "nonce": attest.extra_data.hex(),
                "tpm_clock_ms": attest.clock_ms,
                "tpm_resets": attest.reset_count,
                "tpm_restarts": attest.restart_count,
                "tpm_safe": attest.safe,
                "tpm_firmware": f"{attest.firmware:016x}",
                "pcrs": pcrs_text(pcrs),
            },
            "not_proven": list(self.not_proven),
        }

    def render(self) -> str:
        """Lines for a terminal, without a last newline, in printable ASCII."""
        lines = self.verdict_lines()
        if (attest := self.attest) is not None:
            counts = f"reset {attest.reset_count}, restart {attest.restart_count}"
            lines.append(f"  nonce       {attest.extra_data.hex()}")
            lines.append(f"  TPM         clock {attest.clock_ms} ms, {counts}")
            lines += [
                f"  PCR {index:<8}{value.hex()}"
                for index, value in sorted((self.pcrs or {}).items())
            ]
        lines += [f"  root        {self.root_of_trust.value}", *self.basis_lines()]
        return "\n".join(map(printable, lines))


def limits(
    attest: Attest, statement: TrustStatement | None, reference: Reference | None
) -> Iterator[str]:
    """Sentences on what a reader must not conclude from an answer."""
    if reference is None:
        yield "That the boot state is good: PCR values were quoted, not compared with references."
    else:
        yield "That the reference values are the right ones: they are whoever's you took them from."
    yield "Anything of the log: an answer shows the TPM and its registers, and no record."
    yield (
        "That the machine which handed you the answer holds this TPM: it may have passed your nonce"
        " on to the one that does."
    )
    if not attest.safe:
        yield "That the TPM's clock never fell back: it was last stopped uncleanly (safe=0)."
    if statement is None:
        yield "That the key belongs to a TPM, or to this node: nobody vouches for it here."
    else:
        yield from about_enroller(statement)
