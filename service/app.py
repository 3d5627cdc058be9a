"""The API application: settings in, ASGI app out."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from zooaudit import __version__

from service import errors
from service.checkpoint_versions import Versions
from service.listing import Listing
from service.model_depths import Depths
from service.queue import AuditQueue, connect
from service.recovery import Recovery
from service.reports import ReportStore
from service.routes import router
from service.security import Guard
from service.settings import ServiceSettings

DASHBOARD = Path(__file__).parent.parent / "clients" / "dashboard"


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """The application, by default with the settings of the environment. It starts without Redis, too."""
    settings = settings or ServiceSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.recovery.start()
        yield

    app = FastAPI(
        title="zooaudit",
        version=__version__,
        description="How equivariant is a pretrained image model, and where in its depth?",
        lifespan=lifespan,
        docs_url=None,  # both pages load their scripts from elsewhere, which the content policy forbids
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.settings = settings
    redis = connect(settings.redis_url.get_secret_value())
    app.state.queue = AuditQueue(redis)
    app.state.listing = Listing(app.state.queue)
    app.state.depths = Depths(redis)
    app.state.versions = Versions(redis)
    app.state.store = ReportStore(settings.store)
    app.state.recovery = Recovery(app.state.queue, app.state.store)
    app.include_router(router)
    _serve_dashboard(app)
    errors.install(app)
    app.add_middleware(Guard, loopback_only=not settings.api_keys)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class Scripts(StaticFiles):
    """Files of the dashboard, of which a browser never mixes those of two versions: it asks each time."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _serve_dashboard(app: FastAPI) -> None:
    plotly = _plotly_script()

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(DASHBOARD / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/static/plotly.min.js", include_in_schema=False)
    def plotly_script() -> FileResponse:
        return FileResponse(plotly, headers={"Cache-Control": "max-age=86400"})

    app.mount("/static", Scripts(directory=DASHBOARD, check_dir=False))


def _plotly_script() -> Path:
    # Found, not imported: importing plotly takes longer than starting the service.
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise RuntimeError("the plotly package, whose script the dashboard uses, is not installed")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's own document, with problems under their media type and the way to send a key."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in schema["paths"].values():
            for operation in path.values():
                for status, answer in operation["responses"].items():
                    if int(status) >= 400:
                        answer["content"] = {errors.MEDIA_TYPE: answer["content"]["application/json"]}
        schema["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = schema
    return app.openapi_schema
