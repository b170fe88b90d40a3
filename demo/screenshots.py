"""Pictures of the running demonstration for the README, taken with a headless Chromium.

Run ``make demo`` first, install ``requirements-screenshots.txt`` and a Chromium, then:
``python -m demo.screenshots``. The pictures go to ``docs/pictures/``.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, sync_playwright

from demo.airflow_client import AirflowClient
from demo.processes import urls
from demo.state import ports as remembered_ports
from demo.wishes import WISHES
from leo_activation.paths import PROJECT_ROOT
from leo_activation.secret_store import ensure_secret

PICTURES = PROJECT_ROOT / "docs" / "pictures"
WISH = WISHES[0]
TENANT = WISH.tenant
SIZE: Any = {"width": 1440, "height": 900}


class Camera:
    """Takes pictures of one demonstration.

    :param page: a browser page that is logged in to Airflow.
    :param airflow: address of the UI.
    """

    def __init__(self, page: Page, airflow: str) -> None:
        """Remember where to look."""
        self._page = page
        self._airflow = airflow

    def take(self, name: str, path: str, prepare: Callable[[Page], None] | None = None) -> None:
        """Open a page of Airflow, do what is needed, and save the picture."""
        self._page.goto(f"{self._airflow}{path}", wait_until="networkidle")
        if prepare is not None:
            prepare(self._page)
        self._page.wait_for_timeout(1500)
        self._page.screenshot(path=str(PICTURES / f"{name}.png"))
        print(f"docs/pictures/{name}.png", flush=True)


def log_in(page: Page, airflow: str) -> None:
    """Log in to Airflow as the administrator."""
    page.goto(f"{airflow}/auth/login", wait_until="networkidle")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", ensure_secret("LEO_AIRFLOW_PASSWORD_ADMIN"))
    page.click("button[type=submit]")
    page.wait_for_url(f"{airflow}/")
    page.wait_for_load_state("networkidle")


def open_form(page: Page) -> None:
    """Open the campaign's form."""
    page.get_by_role("button", name="Trigger").first.click()
    page.wait_for_selector("[role=dialog][data-state=open]")


def newest_run(client: AirflowClient) -> str:
    """Return the newest finished campaign run of the large shop.

    :raises SystemExit: when there is none yet.
    """
    runs = [
        run
        for run in client.runs("campaign_run")
        if run["state"] == "success"
        and (run["conf"].get("tenant"), run["conf"].get("campaign_code")) == (TENANT, WISH.code)
    ]
    if not runs:
        sys.exit("no finished campaign: run `make demo` first")
    return str(max(runs, key=lambda run: run["run_after"])["dag_run_id"])


def snapshot_page(client: AirflowClient, run_id: str) -> str:
    """Return where the button of the freezing task leads."""
    path = f"/dags/campaign_run/dagRuns/{run_id}/taskInstances/freeze_segment/links"
    links = client.request("GET", path)["extra_links"]
    return str(links["Snapshot"])


def main() -> None:
    """Take all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    ports = remembered_ports(keep=True)
    airflow = urls(ports)["airflow"]
    client = AirflowClient(airflow, "admin", ensure_secret("LEO_AIRFLOW_PASSWORD_ADMIN"))
    run_id = newest_run(client)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        page = browser.new_page(viewport=SIZE, locale="vi-VN", device_scale_factor=1)
        log_in(page, airflow)
        camera = Camera(page, airflow)
        camera.take("campaign-form", "/dags/campaign_run", open_form)
        camera.take("campaign-run", f"/dags/campaign_run/runs/{run_id}")
        camera.take("snapshot", snapshot_page(client, run_id))
        page.click("a[href*='journey/']")
        page.wait_for_load_state("networkidle")
        # The end of the story is the part that a campaign has written.
        page.mouse.wheel(0, 100_000)
        page.wait_for_timeout(500)
        page.screenshot(path=str(PICTURES / "journey.png"))
        page.goto(urls(ports)["smtp"], wait_until="networkidle")
        page.click("table a")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=str(PICTURES / "letter.png"))
        browser.close()


if __name__ == "__main__":
    main()
