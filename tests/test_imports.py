"""Imports run one way, down the layers and never in a circle; service and worker share little but the contract."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

CASES = {
    "service.app": ["torch", "torchvision", "timm", "worker", "plotly", "scipy", "numpy", "zooaudit.client"],
    "service.stack": ["torch", "torchvision", "timm", "worker"],
    "worker.audit": ["fastapi", "starlette", "rq", "redis", "httpx", "obstore", "pydantic_settings", "service"],
    "worker.explain": ["fastapi", "starlette", "rq", "redis", "httpx", "obstore", "pydantic_settings", "service"],
    "worker.cli": ["fastapi", "starlette", "rq", "redis", "httpx", "obstore", "service"],
    "worker.queue.worker": ["fastapi", "starlette", "httpx", "service", "torch"],
    "worker.__main__": ["torch", "torchvision", "timm", "rq", "redis", "service"],
    "zooaudit": ["fastapi", "torch", "rq", "redis", "numpy", "httpx", "service", "worker"],
    "zooaudit.contract": ["fastapi", "torch", "rq", "redis", "numpy", "httpx", "service", "worker"],
    "zooaudit.figures": ["fastapi", "torch", "rq", "redis", "numpy", "plotly", "httpx", "service", "worker"],
    "zooaudit.views.figures": ["fastapi", "torch", "rq", "redis", "numpy", "plotly", "httpx", "service", "worker"],
    "zooaudit.client": ["fastapi", "torch", "rq", "redis", "numpy", "pandas", "rich", "service", "worker"],
    "zooaudit.async_client": ["fastapi", "torch", "rq", "redis", "numpy", "pandas", "rich", "service", "worker"],
    "zooaudit.results": [
        "fastapi",
        "torch",
        "rq",
        "redis",
        "numpy",
        "pandas",
        "rich",
        "httpx",
        "service",
        "worker",
    ],
    "zooaudit.views.tables": [
        "fastapi",
        "torch",
        "rq",
        "redis",
        "numpy",
        "pandas",
        "rich",
        "httpx",
        "service",
        "worker",
    ],
    "zooaudit.cli": [
        "fastapi",
        "torch",
        "rq",
        "redis",
        "numpy",
        "pandas",
        "rich",
        "httpx",
        "argcomplete",
        "service",
        "worker",
    ],
}


@pytest.mark.parametrize("module", CASES)
def test_a_module_needs_nothing_from_across_the_border(module):
    blocked = CASES[module]
    # None in sys.modules makes an import of that name fail.
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import {module}"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert imported.returncode == 0, imported.stderr


def test_rq_is_known_to_one_place_on_each_side():
    root = Path(__file__).parent.parent
    users = {
        str(path.parent.relative_to(root))
        for package in ("service", "worker", "clients")
        for path in (root / package).rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(("import rq", "from rq"))
    }
    assert users == {"service/queue", "worker/queue"}


# Each layer imports only from those below it, be it for types only or within a function. Names in a set are neighbours,
# which import nothing of each other.
LAYERS: dict[str, list[str | set[str]]] = {
    "worker": [
        *(
            "__main__",
            "supervisor",
            {"cli", "calibrate", "devices", "explain"},
            "audit",
            {"queue", "report", "known"},
            "measure",
            "zoo",
        ),
        {"images", "depth"},
        *("children", {"settings", "processes", "errors"}),
    ],
    "worker.measure": [
        *(
            {"shards", "shard_files"},
            "probe_pass",
            {"passes", "plan"},
            {"measurement", "model_scores"},
            "experiment",
            "progress",
            "scores",
            "probes",
        ),
        *({"budget", "jackknife"}, "held_out"),
        {"representation_sums", "agreement"},
        *(
            "sums",
            "similarity",
            "moments",
            {"groups", "repeatable", "tensor_cores"},
            *("fused", "fused_kernels"),
            {"forward", "feeding", "cuda_graphs"},
        ),
        {"fold", "transforms", "device_name"},
        "warps",
    ],
    "worker.measure.probes": ["kinds", {"deformation", "local_error", "consistency", "variance"}, "statistic"],
    "service": [
        *({"__main__", "stack", "openapi_changes"}, "app", "routes", {"cursors", "retention", "metrics"}),
        {"security", "connections", "log_limits", "turns", "health_check", "quota", "cost", "callbacks", "events"},
        *({"leaderboard", "method_page", "second_opinion"}, "deletion"),
        {"annotations", "audit_rows", "recovery", "comparison"},
        {"catalogue", "model_depths", "checkpoint_versions", "speeds", "summaries", "explanations"},
        {"queue", "reports", "redis_server", "accuracy_statistics", "differences"},
        {"accepted", "audit_log", "callback_records", "callback_addresses"},
        *("objects", {"errors", "fresh"}),
        {"settings", "processes", "stack_folder", "tallies"},
        "api_keys",
    ],
    "experiments": [
        "__main__",
        {"augmentation", "handcrafted", "similarity", "symmetry", "trained", "width", "zoo"},
        *("page", "results", "lab", {"claims", "figures"}, {"estimates", "parallel", "training"}),
        *({"progress", "networks", "validation"}, {"data", "models", "files"}),
    ],
    "zooaudit": [
        *("__main__", {"cli", "figures"}, {"client", "async_client"}, "handle", "flows", "exchange"),
        *({"connection", "options", "callbacks"}, "errors", "results", "site", "exports"),
        *("views", "contract", "version"),
    ],
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("service", "worker", "zooaudit", "experiments", cache_dir=None)


def test_there_are_no_circles(graph):
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(list(TopologicalSorter(imports).static_order())) == len(graph.modules) > 100


@pytest.mark.parametrize("package", LAYERS)
def test_imports_run_down(graph, package):
    upward = graph.find_illegal_dependencies_for_layers(layers=LAYERS[package], containers={package})
    assert [f"{dependency.importer} -> {dependency.imported}" for dependency in upward] == []


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_has_its_layer(graph, package):
    children = {module.removeprefix(f"{package}.") for module in graph.find_children(package)}
    assert children == set().union(*({layer} if isinstance(layer, str) else layer for layer in LAYERS[package]))


def test_the_service_and_the_worker_share_the_contract_only(graph):
    across = {
        (importer, imported)
        for importer in graph.find_descendants("service") | graph.find_descendants("worker")
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported.split(".")[0] != importer.split(".")[0] and not imported.startswith("zooaudit.contract")
    }
    # Besides the contract: the version, and what the service shows as the client does.
    views = {f"zooaudit.views.{name}" for name in ("agreement", "figures", "reading", "text")}
    assert {imported for _, imported in across} <= {"zooaudit", *views}
    assert {importer.split(".")[0] for importer, imported in across if imported.startswith("zooaudit.views")} == {
        "service"
    }
