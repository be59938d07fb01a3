"""What cases of enrolment share: vendors, a node, and requests that an enroller judges."""

from collections.abc import Sequence
from hashlib import sha256

from swt3_agent.protocol.enrolment import (
    Request,
    encode_file,
)
from tests.refusals.case import Case
from tests.support.enrolment import (
    NOW_MS,
    Vendor,
    derived_key,
    paper_ek,
)
from tests.support.forge import PaperNode

REFUSED = 1
SECRET = sha256(b"the secret of a challenge").digest()
EK = paper_ek("ecc256")
OTHER_EK = paper_ek("ecc256 of another TPM")
NODE = PaperNode(counter=3)


def vendor(
    common: str, by: Vendor | None = None, key: str | None = None, **fields: object
) -> Vendor:
    """The same authority in every run."""
    signing = derived_key(key or f"{common} by {by.common if by else 'itself'}")
    return Vendor(common, by, key=signing, **fields)  # type: ignore[arg-type]  # fields by name


ROOT = vendor("Root")
ISSUER = vendor("Issuing", ROOT)
RIGHT = ISSUER.certify(EK)


ROOTS = (ROOT, ISSUER)


def request_case(
    name: str,
    threat: str,
    code: str,
    request: Request | bytes,
    vendors: Sequence[Vendor] | None = ROOTS,
    **options: object,
) -> Case:
    files = {"file": request if isinstance(request, bytes) else encode_file(request)}
    if vendors is not None:
        files["roots"] = b"".join(each.pem for each in vendors)
    told = {"now_ms": NOW_MS, **options}
    return Case(f"enrol-{name}", threat, code, "enrol-request", files, told, REFUSED)
