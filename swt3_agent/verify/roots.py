"""What kind of TPM the enroller saw, and whether that is enough for the reader."""

from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.protocol.trust import TpmKind, TrustStatement
from swt3_agent.verify.course import Course


def examine_root(
    course: Course, statement: TrustStatement | None, allow_software_tpm: bool
) -> None:
    """Note the kind of TPM; a software TPM is a doubt unless the reader allowed it."""
    course.begin("root-of-trust")
    if statement is None:
        course.not_applicable("unknown without a signature and a trust file")
    elif statement.tpm is TpmKind.HARDWARE:
        course.passed("the enroller saw a hardware TPM")
    elif allow_software_tpm:
        course.passed("a software TPM, which you allowed")
    else:
        course.doubt(
            "SOFTWARE_TPM",
            "the signing key is in a software TPM, whose keys root can copy",
        )


def root_of(statement: TrustStatement | None) -> RootOfTrust:
    """The root of trust of what the key in ``statement`` signed; None: nobody vouches for it."""
    if statement is None:
        return RootOfTrust.SELF_REPORTED
    hardware = statement.tpm is TpmKind.HARDWARE
    return RootOfTrust.TPM if hardware else RootOfTrust.SOFTWARE_TPM
