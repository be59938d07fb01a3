"""The public SDK's Witness against an agent's HTTP endpoint: endpoint, key, tenant, level, rounds.

A line on standard input begins each round; a line on standard output ends it. At the end it prints
every payload that was flushed, with its receipt.
"""

import json
import sys
import time
from typing import Any

from swt3_ai.types import InferenceRecord
from swt3_ai.witness import Witness

PATIENCE_S = 60.0


def main(endpoint: str, key: str, tenant: str, level: str, rounds: str) -> None:
    flushed: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def on_flush(payloads: list[Any], receipts: list[Any]) -> None:
        assert len(payloads) == len(receipts)
        for payload, receipt in zip(payloads, receipts, strict=True):
            flushed.append((payload.to_dict(), vars(receipt)))

    witness = Witness(
        endpoint=endpoint,
        api_key=key,
        tenant_id=tenant,
        clearing_level=int(level),
        agent_id="sdk-agent",
        buffer_size=1,
        flush_interval=0.1,
        max_retries=8,
        on_flush=on_flush,
    )
    look_up = witness.wrap_tool(lambda text: text.upper(), tool_name="look_up")
    query = witness.wrap_access(lambda: None, resource_name="prod-db", scope="read-only")
    expected = 0
    for number in range(int(rounds)):
        sys.stdin.readline()
        record = InferenceRecord(
            model_id="llama-3",
            model_hash="6f04241d237297aa",
            prompt_hash=f"{number:016x}",
            response_hash="479eaa1ee804f844",
            latency_ms=42,
            input_tokens=7,
            output_tokens=9,
            guardrails_active=2,
            guardrails_required=2,
            guardrail_names=["pii", "toxicity"],
            system_prompt_hash="315f5bdb76d078c4",
            provider="vllm",
        )
        witness.record(record)
        assert look_up("a") == "A"
        query()
        witness.witness_energy_draw(600, 700)
        expected += 10  # seven of the inference, one each of tool, access and energy
        deadline = time.monotonic() + PATIENCE_S
        while len(flushed) < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        print("flushed", len(flushed), flush=True)
    witness.stop()
    print("\npayloads and receipts:", json.dumps(flushed))  # the SDK prints lines of its own


if __name__ == "__main__":
    main(*sys.argv[1:])
