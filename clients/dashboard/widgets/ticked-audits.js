// The audits that the user has ticked for a comparison: their ids in the address, and the links to compare and untick them.

import { byId, setText } from "../lib/dom.js";
import { changed, go, href, params } from "../lib/url.js";

export const MOST_COMPARED = 200;

/** The ticked ids, on whatever page of the list they are; `query` is the address's parameters. */
export const tickedIds = (query) => (query.get("ticked") ?? "").split(",").filter(Boolean);

/** Ticks or unticks these audits and leaves all others as they are. */
export function setTicked(ids, ticked) {
  const others = tickedIds(params()).filter((id) => !ids.includes(id));
  go(changed({ ticked: (ticked ? [...others, ...ids] : others).join(",") || null }), { replace: true });
}

export function showTicked(query) {
  const ids = tickedIds(query), comparable = ids.length >= 2 && ids.length <= MOST_COMPARED;
  const link = byId("compare");
  setText(link, `Compare (${ids.length})`);
  if (comparable) link.href = href({ compare: ids.join(",") });
  else link.removeAttribute("href");
  link.setAttribute("aria-disabled", String(!comparable));
  link.title = comparable ? "" : ids.length < 2 ? "Tick two or more audits" : `At most ${MOST_COMPARED} audits`;
  byId("untick").hidden = ids.length === 0;
  byId("untick").href = changed({ ticked: null });
}
