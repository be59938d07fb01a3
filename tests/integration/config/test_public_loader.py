"""The public SDK's own loader reads every profile that the agent ships."""

import json
import shutil
import subprocess
from pathlib import Path

import yaml

from swt3_agent.config import load_profile, profile_names

ROOT = Path(__file__).parents[3]
PROFILES = ROOT / "swt3_agent" / "config" / "profiles"
LOAD = """
import json, sys
sys.path.append(sys.argv[1])  # PyYAML
from swt3_ai.config import load_full_config
for path in sys.argv[2:]:
    loaded = load_full_config(path)
    print(json.dumps({"level": loaded.witness_kwargs["clearing_level"], "policy": loaded.policy,
        "mode": loaded.trust_mesh and loaded.trust_mesh.mode}))
"""


def test_every_profile_loads_and_says_there_what_it_says_here(
    tmp_path: Path, sdk_python: str
) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    shutil.copytree(Path(yaml.__file__).parent, library / "yaml")
    files = [_client_file(tmp_path, name) for name in profile_names()]
    done = subprocess.run(
        [sdk_python, "-c", LOAD, str(library), *map(str, files)],
        env={"SECRET_OF_TEST": "0123456789abcdef0123456789abcdef", "API_KEY_OF_TEST": "axm_test"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 14
    for name, line in zip(profile_names(), lines, strict=True):
        document = load_profile(name).document
        assert line["level"] == document["clearing_level"], name
        assert line["policy"] == document["policy"], name
        assert line["mode"] == document.get("trust_mesh", {}).get("mode"), name


def _client_file(directory: Path, profile: str) -> Path:
    """What a client of the SDK adds to a profile: who it is, and its secrets."""
    file = directory / f"{profile}.yaml"
    file.write_text(
        f"extends: {PROFILES / profile}.yaml\n"
        "tenant_id: ACME\nagent_id: a\njurisdiction: DE\n"
        "api_key_env: API_KEY_OF_TEST\nsigning_key_env: SECRET_OF_TEST\n"
    )
    return file
