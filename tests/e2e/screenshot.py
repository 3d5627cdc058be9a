"""Screenshots of the dashboard: ``python -m tests.e2e.screenshot [--all FOLDER] [--directory DIR]``

Starts the stack with a real worker, audits small models with untrained weights (nothing is downloaded) and takes
docs/dashboard.png, a comparison of them; with --all also the list, a report and a report in dark colours. With
--directory the stack keeps its data there, and audits nothing twice.
"""

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect
from zooaudit import AuditClient

from service.stack import running
from tests.e2e.browser import chromium, drawn, opened, rows

MODELS = (
    *("timm/resnet18", "timm/regnetx_002", "timm/convnext_atto", "timm/vit_tiny_patch16_224"),
    *("timm/mobilenetv3_small_100", "timm/efficientnet_lite0", "torchvision/squeezenet1_1"),
)
REQUEST = {
    "weights": "untrained",
    "dataset": "synthetic",
    "num_images": 48,
    "translations_px": (1, 2, 4, 8, 12, 16, 24, 32),
}
LONG_REQUEST = {"weights": "untrained", "dataset": "synthetic", "num_images": 5000}
WIDTH, HEIGHT = 1360, 900


def take(browser: Browser, url: str, address: str, path: Path, height: int = HEIGHT, scheme: str = "light") -> None:
    """Take a screenshot of one page, once all of it is drawn."""
    with opened(browser, url, key=None, viewport={"width": WIDTH, "height": height}, color_scheme=scheme) as page:
        page.goto(address)
        expect(page.locator("#health")).to_contain_text("worker")
        if "=" in address:
            drawn(page, "depth")
        else:
            expect(rows(page).first).to_be_visible()
            expect(page.locator("#audits .progress", has_text="left")).to_have_count(1)
        page.screenshot(path=path)
    print(path, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="also take the other three, into this folder")
    parser.add_argument("--directory", type=Path, help="where the stack keeps its data (default: a temporary folder)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        running(options.directory or Path(temporary), env={"ZOOAUDIT_API_KEYS": ""}) as stack,
        AuditClient(stack.url) as client,
        chromium() as browser,
    ):
        ids = [client.submit(model, **REQUEST).id for model in MODELS]
        for identifier in ids:
            print(client.wait(identifier, 3600).request.model, flush=True)
        take(browser, stack.url, f"/?compare={','.join(ids)}", Path("docs/dashboard.png"), height=1040)
        if options.all:
            waiting = [client.submit(model, **LONG_REQUEST).id for model in MODELS[:2]]
            options.all.mkdir(parents=True, exist_ok=True)
            take(browser, stack.url, "/", options.all / "audits.png")
            take(browser, stack.url, f"/?audit={ids[0]}", options.all / "report.png", height=1300)
            take(browser, stack.url, f"/?audit={ids[2]}", options.all / "report-dark.png", height=1300, scheme="dark")
            for identifier in waiting:
                client.cancel(identifier)


if __name__ == "__main__":
    main()
