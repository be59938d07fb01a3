"""WeightsCollector: which weights lie on this node, by the content of every file.

What the files say of themselves rides on the same reading: headers, quantization and adapters are
read from files that were just hashed, and count only if they are still the same.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swt3_agent.collect.adapters import AdapterSpec, adapter_claims, adapter_directories, within
from swt3_agent.collect.base_models import ModelNames
from swt3_agent.collect.headers.header import Header
from swt3_agent.collect.measure import Measurement, Progress, measure_model
from swt3_agent.collect.measured_files import Document, MeasuredFiles
from swt3_agent.collect.model_files import Problem
from swt3_agent.collect.quantization import CONFIGURATIONS, quantization_claims
from swt3_agent.protocol.evidence import Evidence, Lack, Reading, RootOfTrust, Unavailable
from swt3_agent.protocol.fingerprint import content_hash

MOST_HEADERS = 4096
"""Weight files of one model whose headers are read; the largest known has some 200."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model to watch: a directory or a single file. ``approved``: its manifest digest, in hex.

    ``files`` maps paths within the model to the SHA-256 that each was approved with; ``stage`` is
    the model's stage of life, where somebody said it.
    """

    name: str
    path: Path
    approved: str | None = None
    stage: str | None = None
    files: Mapping[str, str] | None = None
    adapters: tuple[AdapterSpec, ...] = ()


class WeightsCollector:
    """Claims: ``models``, for each ``name``, ``path_hash``, ``digest`` (null where there are
    problems), ``files``, ``bytes``, ``approved``, ``stage``, ``problems``, ``manifest`` (the whole
    list of collect/manifest.py, or null), ``approved_files`` (of each ``path``, ``approved``,
    ``sha256`` and ``bytes``, null where it is not there), ``headers`` (of each weight file ``path``
    and its header, or ``problem``), ``quantization`` and ``adapters``.
    """

    name = "weights"

    def __init__(
        self,
        models: Sequence[ModelSpec],
        *,
        interval_s: float = 3600.0,
        timeout_s: float = 6 * 3600.0,
        workers: int = 2,
        progress: Progress | None = None,
    ) -> None:
        """``timeout_s`` is for all models together; ``workers`` threads hash at a time."""
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self._models = tuple(models)
        self._workers = workers
        self._progress = progress

    def collect(self) -> Reading:
        """Hash every model. A model with a problem costs no other model its digest."""
        if not self._models:
            return Unavailable(
                self.name,
                Lack.ABSENT,
                "MODEL_NONE",
                "no model is configured",
                "name the models of this node in the configuration",
            )
        deadline = time.monotonic() + 0.95 * self.timeout_s
        models = [self._claims(model, deadline) for model in self._models]
        return Evidence(self.name, RootOfTrust.FILE_CONTENT, {"models": models})

    def _claims(self, model: ModelSpec, deadline: float) -> dict[str, object]:
        def measure(path: Path) -> Measurement:
            return measure_model(
                path, workers=self._workers, progress=self._progress, deadline=deadline
            )

        found = measure(model.path)
        base = found.base if found.measured is not None else model.path
        return {
            **expected_claims(model),
            "digest": found.manifest and found.manifest.digest(),
            "files": found.files,
            "bytes": found.size,
            "problems": [problem.as_json() for problem in found.problems],
            "manifest": found.manifest and found.manifest.as_json(),
            "approved_files": _approved_files(model, found.measured),
            **_header_claims(found.measured, found.problems, deadline),
            "adapters": adapter_claims(
                base, found.measured, model.adapters, measure, _names(model, base, found.measured)
            ),
        }


def expected_claims(model: ModelSpec) -> dict[str, object]:
    """What is known of a model before it is read, and all that is where it cannot be."""
    return {
        "name": model.name,
        "path_hash": content_hash(str(model.path)),
        "digest": None,
        "approved": model.approved,
        "stage": model.stage,
        "approved_files": _approved_files(model, None),
        "adapters": [
            {"name": adapter.name, "within": None, "digest": None, "approved": adapter.approved}
            for adapter in model.adapters
        ],
    }


def _approved_files(model: ModelSpec, measured: MeasuredFiles | None) -> list[dict[str, object]]:
    return [
        {
            "path": path,
            "approved": approved,
            "sha256": measured and measured.digest(path),
            "bytes": measured and measured.size(path),
        }
        for path, approved in (model.files or {}).items()
    ]


def _header_claims(
    measured: MeasuredFiles | None, problems: Sequence[Problem], deadline: float
) -> dict[str, object]:
    """``headers`` and ``quantization``: of the model's own weights, not those of its adapters."""
    if measured is None:
        return {"headers": [], "quantization": quantization_claims({}, {}, problems)}
    listed: list[dict[str, object]] = []
    headers: dict[str, Header] = {}
    broken: list[Problem] = []
    adapters = [name for name in adapter_directories(measured) if name != "."]
    weights = measured.weights()
    for number, path in enumerate(weights):
        if number == MOST_HEADERS or time.monotonic() > deadline:
            broken.append(_unread_headers(len(weights) - number, len(weights)))
            break
        header = measured.header(path)
        of_adapter = any(within(path, directory) for directory in adapters)
        if isinstance(header, Problem):
            listed.append({"path": path, "problem": header.as_json()})
            if not of_adapter:
                broken.append(header)
        else:
            listed.append({"path": path, "header": header.as_json()})
            if not of_adapter:
                headers[path] = header
    documents: dict[str, Document] = {}
    for name in CONFIGURATIONS:
        document = measured.document(_nearest(measured, name))
        if isinstance(document, Problem):
            broken.append(document)
        elif document is not None:
            documents[name] = document
    return {"headers": listed, "quantization": quantization_claims(documents, headers, broken)}


def _unread_headers(unread: int, weights: int) -> Problem:
    return Problem(
        "HEADERS_UNREAD",
        f"{unread} of {weights} weight files were not looked into: they are more than "
        f"{MOST_HEADERS}, or the time of the reading was over",
        "name the directory of one model only, and see whether its disk is slow",
    )


def _names(model: ModelSpec, base: Path, measured: MeasuredFiles | None) -> ModelNames:
    document = (
        None if measured is None else measured.document(_nearest(measured, CONFIGURATIONS[0]))
    )
    return ModelNames.of(
        model.name, (model.path, base), document if isinstance(document, Mapping) else {}
    )


def _nearest(measured: MeasuredFiles, name: str) -> str:
    """The file of that name nearest to the model's top: a hub's cache has it some levels down."""
    found = [path for path in measured.names if path == name or path.endswith(f"/{name}")]
    return min(found, key=lambda path: (path.count("/"), path), default=name)
