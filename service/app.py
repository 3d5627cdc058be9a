"""Build the ASGI application from the settings."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from zooaudit import __version__
from zooaudit.contract import ROLES, Role

from service import errors
from service.accepted import AcceptedAudits
from service.annotations import AnnotationStore
from service.api_keys import parse_keys
from service.audit_log import AuditLog
from service.audit_rows import AuditRows
from service.callback_records import CallbackRecords
from service.callbacks import Callbacks
from service.checkpoint_versions import CheckpointVersions
from service.deletion import Deletions
from service.events import Events
from service.explanations import Explanations
from service.health_check import HealthCheck
from service.method_page import method_page
from service.metrics import ServiceMetrics
from service.model_depths import ModelDepths
from service.queue import AuditQueue, WaitingLine, Workers, connect
from service.quota import Quota
from service.recovery import Recovery
from service.reports import ReportStore, open_store
from service.retention import Retention
from service.routes import router
from service.routes.events import read_followed
from service.security import Guard
from service.settings import ServiceSettings
from service.speeds import Speeds
from service.summaries import Summaries
from service.turns import LISTS, OTHERS, Turns

DASHBOARD = Path(__file__).parent.parent / "clients" / "dashboard"


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """Build the application, by default with the settings of the environment. It starts even while Redis is away."""
    settings = settings or ServiceSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        recovery: Recovery = app.state.recovery
        retention: Retention = app.state.retention
        callbacks: Callbacks = app.state.callbacks
        recovery.start()
        retention.start()
        callbacks.start()
        app.state.summaries.start()
        yield
        callbacks.stop()
        retention.stop()
        recovery.stop()

    app = FastAPI(
        title="zooaudit",
        version=__version__,
        description="How equivariant is a pretrained image model, and where in its depth?",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from other hosts; /docs below is served from our own files
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat whatever Host the client named
        separate_input_output_schemas=False,
    )
    app.state.settings = settings
    app.state.keys = parse_keys(key.get_secret_value() for key in settings.api_keys)
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
    app.state.explanations = Explanations(redis, app.state.store, app.state.workers)
    app.state.speeds = Speeds(app.state.store)
    app.state.summaries = Summaries(app.state.store, redis)
    app.state.accepted = AcceptedAudits(store)
    app.state.recovery = Recovery(app.state.queue, app.state.store, app.state.accepted, app.state.workers)
    app.state.quota = Quota(redis, settings.max_queued_per_key, settings.max_images_per_key_day)
    app.state.annotations = AnnotationStore(store, redis)
    app.state.audit_log = AuditLog(store)
    records = CallbackRecords(store)
    app.state.deletions = Deletions(
        store,
        app.state.queue,
        app.state.store,
        app.state.accepted,
        app.state.annotations,
        records,
        app.state.summaries.forget,
    )
    app.state.retention = Retention(
        redis,
        app.state.queue,
        app.state.rows,
        app.state.annotations,
        app.state.deletions,
        app.state.audit_log,
        settings.keep_days,
        settings.keep_audits,
    )
    app.state.callbacks = Callbacks(
        redis, records, app.state.queue, app.state.rows, app.state.recovery, app.state.annotations, settings
    )
    app.state.metrics = ServiceMetrics(app.state.workers, app.state.rows, app.state.callbacks)
    state = app.state
    app.state.events = Events(partial(read_followed, state.queue, state.line, state.recovery, state.annotations))
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
    libraries = {
        "plotly.min.js": _file_of("plotly", "package_data/plotly.min.js"),
        "swagger-ui.js": _file_of("fastapi_offline", "static/swagger-ui-bundle.js"),
        "swagger-ui.css": _file_of("fastapi_offline", "static/swagger-ui.css"),
    }
    files = DashboardFiles(directory=DASHBOARD, check_dir=False)

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(DASHBOARD / "index.html", headers={"Cache-Control": "no-cache"})

    app.get("/zoo", include_in_schema=False)(index)  # the page reads its address

    @app.get("/docs", include_in_schema=False)
    async def api_page() -> FileResponse:
        return FileResponse(DASHBOARD / "api.html", headers={"Cache-Control": "no-cache"})

    @app.get("/method", include_in_schema=False)
    def method() -> HTMLResponse:
        return HTMLResponse(method_page(), headers={"Cache-Control": "no-cache"})

    # A route, not a mount, which would count as taking every method.
    @app.get("/static/{path:path}", include_in_schema=False)
    async def dashboard_file(path: str, request: Request) -> Response:
        if path in libraries:
            return FileResponse(libraries[path], headers={"Cache-Control": "max-age=86400"})
        return await files.get_response(path, request.scope)


def _file_of(package: str, path: str) -> Path:
    """Find a file that an installed package brings."""
    # Not imported, because importing plotly takes longer than starting the service.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {package} is not installed; the pages use {path} of it")
    return Path(spec.origin).parent / path


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Build FastAPI's own document, but give problems their media type, and endpoints the role that they need."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in schema["paths"].values():
            for operation in path.values():
                if role := _role_of(operation):
                    operation["x-role"] = role
                    # Reading needs a key only where the operator says so.
                    operation["security"] = [{"bearer": []}, {}] if role == "read" else [{"bearer": []}]
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        (described,) = response["content"].values()
                        response["content"] = {errors.MEDIA_TYPE: described}
        schema["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = schema
    return app.openapi_schema


def _role_of(operation: dict[str, Any]) -> Role | None:
    """Return the highest of the roles that the endpoint's dependencies require (see RequireRole)."""
    named = {scheme for schemes in operation.get("security", ()) for scheme in schemes}
    return next((role for role in reversed(ROLES) if role in named), None)
