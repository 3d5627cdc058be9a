// The dashboard: the address says which page there is, one poll at a time feeds it, and the page shows what came.

import { auditsPage, showUnlisted } from "./pages/audits.js";
import { comparePage } from "./pages/comparison.js";
import { byId, setText } from "./lib/dom.js";
import { forgetFigures } from "./widgets/figures.js";
import { showDatasets } from "./widgets/audit-form.js";
import { duration } from "./lib/format.js";
import { request } from "./lib/api.js";
import { modelPage } from "./pages/model.js";
import { poll } from "./lib/poll.js";
import { reportPage } from "./pages/report.js";
import { onNavigate, params } from "./lib/url.js";

const HEALTH_MS = 15_000;
const PAGES = { audit: reportPage, compare: comparePage, model: modelPage };

let open = null; // { key, page, poller }
let home = "/"; // where the list of audits was left

function navigate({ moved = true, first = false } = {}) {
  const now = params();
  const kind = Object.keys(PAGES).find((name) => now.get(name)) ?? "audits";
  const key = `${kind} ${now.get(kind) ?? ""}`;
  if (kind === "audits") home = location.pathname + location.search;
  if (open?.key !== key) {
    open?.poller.stop();
    const root = byId("detail");
    byId("audits-page").hidden = kind !== "audits";
    root.hidden = kind === "audits";
    root.replaceChildren();
    forgetFigures();
    fault("");
    const page = kind === "audits" ? auditsPage({ fault }) : PAGES[kind](root, now.get(kind), { fault });
    open = { key, page };
    page.show();
    open.poller = poll(async (signal) => {
      const waitMs = await page.refresh(signal);
      title();
      return waitMs;
    }, { onAnswer: () => fault(""), onError: unanswered });
    page.onRefresh?.(open.poller.now);
    if (moved && !first) {
      window.scrollTo(0, 0);
      page.heading().focus({ preventScroll: true });
    }
  } else {
    if (open.page.show()) open.poller.now();
  }
  for (const link of document.querySelectorAll("a.home")) link.href = kind === "audits" ? "/" : home;
  title();
}

function title() {
  document.title = open.page.title();
}

/** Shows what went wrong, until the next answer; "" takes it back. */
function fault(message) {
  setText(byId("offline"), message);
  byId("offline").hidden = !message;
}

function unanswered(error, waitMs) {
  fault(`${error.message} Trying again in ${duration(waitMs / 1000)}.`);
  showUnlisted();
}

async function refreshHealth(signal) {
  const { body } = await request("/health", { signal });
  const workers = body.workers === 1 ? "1 worker" : `${body.workers} workers`;
  setText(byId("health"), body.redis ? `${workers} · ${body.running} running · ${body.queued} queued` : "Redis does not answer");
  byId("health").dataset.state = body.status;
  byId("degraded").hidden = body.status === "ok" || !body.redis;
  showDatasets(body.datasets);
  return HEALTH_MS;
}

onNavigate(navigate);
navigate({ first: true });
poll(refreshHealth, {
  onError() {
    byId("health").dataset.state = "offline";
    setText(byId("health"), "No answer");
  },
});
