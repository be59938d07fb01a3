import hashlib
import random

from hypothesis import given
from hypothesis import strategies as st

from swt3_agent.collect.manifest import FileEntry, LinkEntry, ModelManifest

# Worked out by hand from the rule: the canonical text, and its digest with sha256sum.
TEXT = (
    '{"files":[{"path":"config.json","sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c0'
    '60f61caaff8a","size":2},{"link":"config.json","path":"latest"}],'
    '"format":"swt3-agent/model-manifest/1"}'
)
CONFIG = FileEntry(
    "config.json", 2, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
)

entries = st.lists(
    st.builds(FileEntry, st.text(min_size=1), st.integers(0, 2**50), st.just("00" * 32)),
    unique_by=lambda entry: entry.path,
)


def test_the_digest_is_that_of_the_canonical_text() -> None:
    manifest = ModelManifest.of([LinkEntry("latest", "config.json"), CONFIG])
    assert manifest.digest() == hashlib.sha256(TEXT.encode()).hexdigest()


@given(entries, st.integers())
def test_the_order_of_finding_does_not_matter(found: list[FileEntry], seed: int) -> None:
    shuffled = random.Random(seed).sample(found, len(found))
    assert ModelManifest.of(shuffled).digest() == ModelManifest.of(found).digest()


def test_a_link_is_not_the_file_that_it_leads_to() -> None:
    copied = ModelManifest.of([CONFIG, FileEntry("latest", CONFIG.size, CONFIG.sha256)])
    linked = ModelManifest.of([CONFIG, LinkEntry("latest", "config.json")])
    assert copied.digest() != linked.digest()
