"""Hashes of prompts and responses, made in the inference process so that the text stays there."""

from hashlib import sha256

from swt3_agent.protocol.fingerprint import CONTENT_HASH_CHARS


def content_hash(text: str | bytes | None) -> str:
    """First 16 hex characters of SHA-256 over the UTF-8 text (docs/protocol.md 3.1).

    Never raises into inference: a lone surrogate counts as U+FFFD, as it does for clients in
    JavaScript; bytes are hashed as they are; None, or anything else that is no text, gives the
    empty string, which says on the wire that there is no hash.
    """
    if isinstance(text, str):
        content = _utf8(text)
    elif isinstance(text, bytes):
        content = text
    else:
        return ""
    return sha256(content).hexdigest()[:CONTENT_HASH_CHARS]


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
