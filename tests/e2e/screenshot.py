"""Screenshots of the dashboard: ``python -m tests.e2e.screenshot [--all FOLDER] [--directory DIR]``

Starts the stack with a real worker, audits a network that was trained on ImageNet and the same architecture untrained,
on photographs (nothing is downloaded), and takes docs/dashboard.png, a comparison of the two; with --all also the list,
a report and a report in dark colours. With --directory the stack keeps its data there, and audits nothing twice.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect
from zooaudit import AuditClient

from examples.photographs import write_tiles
from examples.trained_network import model_of, write_checkpoint
from service.stack import running
from tests.e2e.browser import chromium, drawn, opened, rows

SHIFTS_PX = (1, 2, 4, 8, 12, 16, 32)
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
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        directory = (options.directory or Path(temporary)).absolute()
        checkpoints, photographs = directory / "checkpoints", directory / "photographs"
        weights, count = write_checkpoint(checkpoints), write_tiles(photographs)
        env = {
            "ZOOAUDIT_API_KEYS": "",
            "ZOOAUDIT_CHECKPOINTS": str(checkpoints),
            "ZOOAUDIT_DATASETS": f"photographs={photographs}",
        }
        with running(directory, env=env) as stack, AuditClient(stack.url) as client:
            take_all(browser, stack.url, client, weights, count, options.all)


def take_all(
    browser: Browser, url: str, client: AuditClient, weights: str, num_images: int, folder: Path | None
) -> None:
    """Take the comparison of trained and untrained weights, and if there is a ``folder`` the others into it."""

    def submitted(weights: str, **more: Any) -> str:
        how = {"dataset": "photographs", "num_images": num_images, "translations_px": SHIFTS_PX, **more}
        return client.submit(model_of(), weights=weights, **how).id

    trained, untrained = submitted(weights, baseline=True), submitted("untrained")
    for identifier in (trained, untrained):
        print(client.wait(identifier, 3600).request.weights, flush=True)
    take(browser, url, f"/?compare={trained},{untrained}", Path("docs/dashboard.png"), height=1040)
    if folder:
        waiting = [submitted("untrained", dataset="synthetic", num_images=5000, seed=seed) for seed in (1, 2)]
        folder.mkdir(parents=True, exist_ok=True)
        take(browser, url, "/", folder / "audits.png")
        take(browser, url, f"/?audit={trained}", folder / "report.png", height=1300)
        take(browser, url, f"/?audit={trained}", folder / "report-dark.png", height=1300, scheme="dark")
        for identifier in waiting:
            client.cancel(identifier)


if __name__ == "__main__":
    main()
