"""Build the ASGI application from the settings."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from zooaudit import __version__

from service import errors
from service.accepted import AcceptedAudits
from service.audit_rows import AuditRows
from service.callback_records import CallbackRecords
from service.callbacks import Callbacks
from service.checkpoint_versions import CheckpointVersions
from service.events import Events
from service.health_check import HealthCheck
from service.metrics import ServiceMetrics
from service.model_depths import ModelDepths
from service.queue import AuditQueue, WaitingLine, Workers, connect
from service.quota import Quota
from service.recovery import Recovery
from service.reports import ReportStore, open_store
from service.routes import router
from service.routes.events import read_followed
from service.security import Guard
from service.settings import ServiceSettings
from service.speeds import Speeds
from service.turns import LISTS, OTHERS, Turns

DASHBOARD = Path(__file__).parent.parent / "clients" / "dashboard"


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """Build the application, by default with the settings of the environment. It starts even while Redis is away."""
    settings = settings or ServiceSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        recovery: Recovery = app.state.recovery
        callbacks: Callbacks = app.state.callbacks
        recovery.start()
        callbacks.start()
        yield
        callbacks.stop()
        recovery.stop()

    app = FastAPI(
        title="zooaudit",
        version=__version__,
        description="How equivariant is a pretrained image model, and where in its depth?",
        lifespan=lifespan,
        docs_url=None,  # both pages load scripts from other hosts, which the content security policy forbids
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat whatever Host the client named
        separate_input_output_schemas=False,
    )
    app.state.settings = settings
    redis_url = settings.redis_url.get_secret_value()
    redis = connect(redis_url)
    app.state.queue = AuditQueue(redis)
    app.state.workers = Workers(redis)
    app.state.line = WaitingLine(redis)
    app.state.rows = AuditRows(app.state.queue)
    app.state.depths = ModelDepths(redis, app.state.workers)
    app.state.versions = CheckpointVersions(redis, app.state.workers)
    store = open_store(settings.store)
    app.state.store = ReportStore(store)
    app.state.speeds = Speeds(app.state.store)
    app.state.accepted = AcceptedAudits(store)
    app.state.recovery = Recovery(app.state.queue, app.state.store, app.state.accepted, app.state.workers)
    records = CallbackRecords(store)
    app.state.callbacks = Callbacks(redis, records, app.state.queue, app.state.rows, app.state.recovery, settings)
    app.state.metrics = ServiceMetrics(app.state.workers, app.state.rows, app.state.callbacks)
    app.state.events = Events(partial(read_followed, app.state.queue, app.state.line, app.state.recovery))
    app.state.quota = Quota(redis, settings.max_queued_per_key)
    app.state.health_check = HealthCheck(redis_url)
    app.state.turns, app.state.list_turns = Turns(OTHERS), Turns(LISTS)
    app.include_router(router)
    _serve_dashboard(app)
    errors.install(app)
    app.add_middleware(Guard, loopback_only=not settings.api_keys)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class DashboardFiles(StaticFiles):
    """The dashboard's files. A browser asks for each of them again, so it never mixes files of two versions."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _serve_dashboard(app: FastAPI) -> None:
    plotly = _plotly_script()
    files = DashboardFiles(directory=DASHBOARD, check_dir=False)

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(DASHBOARD / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/static/plotly.min.js", include_in_schema=False)
    async def plotly_script() -> FileResponse:
        return FileResponse(plotly, headers={"Cache-Control": "max-age=86400"})

    # A route, not a mount, which would count as taking every method.
    @app.get("/static/{path:path}", include_in_schema=False)
    async def dashboard_file(path: str, request: Request) -> Response:
        return await files.get_response(path, request.scope)


def _plotly_script() -> Path:
    # Not imported, because importing plotly takes longer than starting the service.
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise RuntimeError("the plotly package is not installed; the dashboard uses its script")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Build FastAPI's own document, but give problems their media type and API keys a security scheme."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in schema["paths"].values():
            for method, operation in path.items():
                if "401" in operation["responses"]:
                    # Reading needs a key only where the operator says so.
                    operation["security"] = [{"bearer": []}, {}] if method == "get" else [{"bearer": []}]
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        (described,) = response["content"].values()
                        response["content"] = {errors.MEDIA_TYPE: described}
        schema["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = schema
    return app.openapi_schema
