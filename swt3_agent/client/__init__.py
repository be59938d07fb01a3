"""What an inference process imports: emit() and Client, on the standard library alone.

    from swt3_agent.client import content_hash, emit

    emit("AI-INF.1", 1, 1, 0, model_id="llama-3", prompt_hash=content_hash(prompt))

``emit`` puts the anchor into memory and returns; a thread mints its fingerprint and hands it to
the agent of this node. It never blocks, whatever state the agent is in. What could not be kept is
counted, and anchored as AI-SAMPLE.1 once the agent is back.

The client that ``emit`` uses reads its settings from the environment when it is first used; see
:class:`swt3_agent.client.settings.ClientSettings`.
"""

from swt3_agent.client.client import Client
from swt3_agent.client.hashing import content_hash
from swt3_agent.client.settings import ClientSettings
from swt3_agent.client.stats import ClientStats

__all__ = ["Client", "ClientSettings", "ClientStats", "content_hash", "default_client", "emit"]

default_client = Client()

emit = default_client.emit
