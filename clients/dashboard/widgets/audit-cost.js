// What the audit in the form would cost, in a line below it that follows what is filled in. It never stands in the way.

import { ApiError, request } from "../lib/api.js";
import { element } from "../lib/dom.js";
import { about, count, ordinal, plural } from "../lib/format.js";
import { fieldLabel, fieldSentences } from "../lib/problems.js";
import { href } from "../lib/url.js";

const DELAY_MS = 400, OLD_MS = 10_000;

const EXISTS = {
  queued: "This audit waits for a worker already. Asking for it again costs nothing.",
  running: "This audit is running already. Asking for it again costs nothing.",
  succeeded: "This audit has a report already. Asking for it again costs nothing.",
};

/**
 * Shows in `line` what the body that `readBody()` returns would cost. While fields are wrong, it names them; what is
 * wrong with them the form itself tells when it is sent. While there is no such model, it shows nothing. Returns
 * { changed, touched }: call `changed` whenever the form has changed, and `touched` when the user turns to it, which asks
 * again if the answer is old.
 */
export function costView(line, readBody) {
  let timer, asking, answeredAt = 0;

  async function ask() {
    const { signal } = (asking = new AbortController());
    let cost = null, wrong = [];
    try {
      const body = readBody();
      ({ body: cost } = await request("audit?dry_run=true", { method: "POST", body, signal, asksForKey: false }));
    } catch (error) {
      if (error instanceof ApiError) wrong = fieldSentences(error.problem ?? {}).map(([name]) => name);
      else if (!signal.aborted) console.error(error);
    }
    if (signal.aborted) return;
    answeredAt = Date.now();
    line.classList.remove("stale");
    const parts = cost?.forward_images == null ? wrongText(wrong) : costText(cost);
    const text = parts.map((part) => part.textContent ?? part).join("");
    if (line.textContent !== text) line.replaceChildren(...parts); // a reader hears only what is new
  }

  function changed() {
    clearTimeout(timer);
    asking?.abort();
    line.classList.add("stale");
    timer = setTimeout(ask, DELAY_MS);
  }

  return { changed, touched: () => line.textContent && Date.now() - answeredAt > OLD_MS && changed() };
}

/** That the cost waits for these fields; nothing of a model that is still being typed. */
const wrongText = (fields) => (!fields.length || fields.includes("model") ? [] : [`The cost is told once this is right: ${fields.map(fieldLabel).join(" · ")}`]);

/** The sentences, as texts and a link to the audit whose speed they rest on. */
function costText({ status, forward_images: images, certainty, seconds, reason, basis, request: asked, queued, queue }) {
  if (status) return [EXISTS[status] ?? ""];
  const exact = certainty === "exact" ? "" : `${certainty[0].toUpperCase()}${certainty.slice(1)} `;
  const amount = `${exact}${count(images)} forward images`;
  const waiting = queued && queue ? ` ${queueText(queued, queue)}` : "";
  if (!basis) return [`${amount}. ${reason ?? ""}${waiting}`];
  const time = `${asked.tolerance == null ? "" : "at most "}${basis.same_model ? "about" : "roughly"} ${about(seconds)}`;
  const whose = basis.same_model ? "the same model" : `${basis.model}, a model of about this size`;
  const link = element("a", { href: href({ audit: basis.id }), title: `on ${basis.device}` }, `an audit of ${whose}`);
  return [`${amount}, ${time} on this service’s workers, by `, link, `.${waiting}`];
}

/** "12 audits wait; this one would be 3rd in the queue and start in about 10 min." */
function queueText(queued, { position, starts_in_s: seconds }) {
  const start = seconds ? ` and start in about ${about(seconds)}` : "";
  return `${plural(queued, "audit waits", "audits wait")}; this one would be ${ordinal(position)} in the queue${start}.`;
}
