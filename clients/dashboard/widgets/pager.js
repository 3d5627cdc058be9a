// The links to the other pages of the list; the number of the page is in the address.

import { byId, setText } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { changed } from "../lib/url.js";

export const PAGE_SIZE = 50;

/** The page that the address's parameters name, from 1. */
export const pageNumber = (query) => Math.max(1, Math.floor(Number(query.get("page"))) || 1);

export const pageCount = (total) => Math.max(1, Math.ceil(total / PAGE_SIZE));

/** Shows which of all the `total` audits are on this page, and links to the other pages. */
export function showPager(query, total) {
  const page = pageNumber(query), last = pageCount(total);
  byId("pager").hidden = last < 2;
  setText(byId("page-range"), `${count((page - 1) * PAGE_SIZE + 1)}–${count(Math.min(page * PAGE_SIZE, total))} of ${count(total)}`);
  for (const [id, target] of [["first-page", 1], ["previous-page", page - 1], ["next-page", page + 1], ["last-page", last]]) {
    const exists = target >= 1 && target <= last && target !== page;
    if (exists) byId(id).href = changed({ page: target > 1 ? target : null });
    else byId(id).removeAttribute("href");
    byId(id).setAttribute("aria-disabled", String(!exists));
  }
}
