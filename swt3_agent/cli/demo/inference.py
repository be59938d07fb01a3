"""The demo's inference process: a program of its own that knows only swt3_agent.client.

It pretends to answer prompts and emits one AI-INF.1 anchor for each, as an inference server
would; prompts and answers never leave it, only hashes could, and at level 3 not even those.
"""

import json
import os
import sys
from dataclasses import asdict

from swt3_agent.client import Client, content_hash

FLUSH_TIMEOUT_S = 30.0


def main() -> int:
    """Emit ``argv[1]`` anchors and print what became of them as one JSON line."""
    client = Client()
    for number in range(int(sys.argv[1])):
        prompt, answer = f"question {number}", f"answer {number}"
        client.emit(
            "AI-INF.1",
            1,
            1,
            0,
            model_id="demo-model",
            prompt_hash=content_hash(prompt),
            response_hash=content_hash(answer),
            latency_ms=number % 90 + 10,
        )
    delivered = client.flush(FLUSH_TIMEOUT_S)
    print(json.dumps({"pid": os.getpid(), "flushed": delivered, **asdict(client.stats())}))
    client.close(1.0)
    return 0 if delivered else 1


if __name__ == "__main__":
    sys.exit(main())
