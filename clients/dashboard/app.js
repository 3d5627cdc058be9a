// The dashboard: the address says which page is open, the page draws itself, and one poll at a time keeps it up to date.

import { keyInWords, mayTry, refreshAccess } from "./lib/access.js";
import { request } from "./lib/api.js";
import { byId, element, setText } from "./lib/dom.js";
import { duration, plural } from "./lib/format.js";
import { askForKey } from "./lib/key.js";
import { poll } from "./lib/poll.js";
import { href, isZoo, onNavigate, params, ZOO } from "./lib/url.js";
import { auditsPage, showListMissing } from "./pages/audits.js";
import { comparisonPage } from "./pages/comparison.js";
import { explanationPage } from "./pages/explanation.js";
import { modelPage } from "./pages/model.js";
import { reportPage } from "./pages/report.js";
import { secondOpinionPage } from "./pages/second-opinion.js";
import { zooPage } from "./pages/zoo.js";
import { showDatasets } from "./widgets/audit-form.js";
import { forgetFigures } from "./widgets/figures.js";

const HEALTH_MS = 15_000;
const WHO_MS = 2000; // costs nothing while the key stays the same
// By the address's parameter.
const DETAIL_PAGES = { audit: reportPage, compare: comparisonPage, explain: explanationPage, model: modelPage, "second-opinion": secondOpinionPage };

/*
 * A page is { title(), heading(), show(), refresh(signal), setRefreshNow(refresh)? }. `show` draws what the address names
 * from the service's earlier answers, and returns whether it needs a new one. `refresh` gets a new answer, and returns
 * the milliseconds until the next refresh, or null. `setRefreshNow` gives the page a function that refreshes it at once.
 */
let current = null; // the open page as { key, page, poller }; it stays open while its `key` stays the same
let listAddress = href({}), zooAddress = ZOO; // where the user left the list of audits, and the zoo

function navigate({ moved = true, first = false } = {}) {
  const query = params();
  // undefined for the page of all audits
  const param = isZoo() ? ZOO : Object.keys(DETAIL_PAGES).find((name) => query.get(name));
  const key = param ? `${param} ${query.get(param)}` : "audits";
  if (!param) listAddress = href({}) + location.search;
  if (isZoo()) zooAddress = ZOO + location.search;
  if (current?.key !== key) {
    openPage(key, param, query.get(param));
    if (moved && !first) {
      window.scrollTo(0, 0);
      current.page.heading().focus({ preventScroll: true });
    }
  } else if (current.page.show()) current.poller.now();
  for (const link of document.querySelectorAll("a.home")) link.href = param ? listAddress : href({});
  byId("zoo-link").href = isZoo() ? ZOO : zooAddress;
  byId("zoo-link").toggleAttribute("aria-current", isZoo());
  showTitle();
}

function openPage(key, param, value) {
  current?.poller.stop();
  const detail = byId("detail");
  byId("audits-page").hidden = Boolean(param);
  detail.hidden = !param;
  detail.replaceChildren();
  forgetFigures();
  showBanner("");
  const page = param ? (param === ZOO ? zooPage : DETAIL_PAGES[param])(detail, value, { showBanner }) : auditsPage({ showBanner });
  current = { key, page };
  page.show();
  current.poller = poll(async (signal) => {
    const waitMs = await page.refresh(signal);
    showTitle();
    return waitMs;
  }, { onAnswer: () => showBanner(""), onError: showUnanswered });
  page.setRefreshNow?.(current.poller.now);
}

function showTitle() {
  document.title = current.page.title();
}

/** Shows above the page what went wrong, until the service answers again; "" hides it. */
function showBanner(message) {
  setText(byId("offline-why"), message);
  byId("offline").hidden = !message;
  byId("give-key").hidden = true;
}

function showUnanswered(error, waitMs) {
  const needsKey = error.problem?.status === 401;
  showBanner(needsKey ? error.message : `${error.message} Trying again in ${duration(waitMs / 1000)}.`);
  byId("give-key").hidden = !needsKey;
  showListMissing();
}

byId("give-key").addEventListener("click", async () => {
  if (await askForKey()) for (const poller of [current.poller, healthPoller]) poller.now();
});

/** Shows what the service lacks: one sentence, or a list of them. */
function showReasons(reasons) {
  const notice = byId("degraded"), state = reasons.join("\n");
  notice.hidden = reasons.length === 0;
  if (notice.dataset.state === state) return;
  notice.dataset.state = state;
  notice.replaceChildren(...(reasons.length > 1 ? [element("ul", {}, reasons.map((reason) => element("li", {}, reason)))] : reasons));
}

async function refreshHealth(signal) {
  const { body } = await request("health", { signal });
  setText(byId("health"), body.redis ? `${plural(body.workers, "worker")} · ${body.running} running · ${body.queued} queued` : "Redis does not answer");
  byId("health").title = (body.devices ?? []).join(", ");
  byId("health").dataset.state = body.status;
  showReasons(body.reasons);
  showDatasets(body.datasets);
  return HEALTH_MS;
}

/** Shows whose key is used, and takes the form of a new audit away from a key that may not ask for one. */
async function refreshWho(signal) {
  await refreshAccess(signal);
  const words = keyInWords();
  setText(byId("who"), words ?? "");
  byId("who").hidden = words === null;
  byId("submit").inert = !mayTry("submit");
  byId("read-only").hidden = mayTry("submit");
  return WHO_MS;
}

byId("who").addEventListener("click", async () => {
  if (await askForKey({ why: "Another key may do other things." })) for (const poller of [whoPoller, current.poller]) poller.now();
});

onNavigate(navigate);
navigate({ first: true });
const healthPoller = poll(refreshHealth, {
  onError({ problem }) {
    byId("health").dataset.state = "offline";
    setText(byId("health"), problem?.status === 401 ? "Needs an API key" : "No answer");
  },
});
const whoPoller = poll(refreshWho);
