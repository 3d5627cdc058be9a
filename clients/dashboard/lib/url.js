// The address alone says what the page shows, so that back, forward, reload and a link sent to a colleague keep it.
// All addresses are relative: a proxy may serve the dashboard below a path of its own.

let onChange = () => {};

/** The present address's parameters. */
export const params = () => new URLSearchParams(location.search);

/** Whether the present address is that of the page of the whole zoo, the only page with a path of its own. */
export const isZoo = () => location.pathname.endsWith("/zoo");

export const ZOO = "zoo";

/** The address with these parameters, in readable form: href({ audit: id }); href({}) is that of all audits. */
export const href = (values) => `./${queryOf(values)}`;

/** The present address with some parameters changed; null leaves one out. */
export const changed = (changes) => (isZoo() ? ZOO : "./") + queryOf({ ...Object.fromEntries(params()), ...changes });

function queryOf(values) {
  const query = Object.entries(values)
    .filter(([, value]) => value != null && value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%2F", "/")}`);
  return query.length ? `?${query.join("&")}` : "";
}

/** Goes to an address; `replace` makes no new entry of the history. */
export function go(address, { replace = false } = {}) {
  const to = new URL(address, location);
  if (to.pathname === location.pathname && to.search === location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  onChange({ moved: !replace });
}

/** Calls `listener({ moved })` whenever the address has changed. Plain clicks on links of the dashboard come here, too. */
export function onNavigate(listener) {
  onChange = listener;
  window.addEventListener("popstate", () => listener({ moved: false }));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const to = new URL(link.href);
    const pages = [href({}), ZOO].map((address) => new URL(address, location).pathname);
    if (to.origin !== location.origin || !pages.includes(to.pathname) || to.hash || link.hasAttribute("download")) return;
    event.preventDefault();
    go(to.pathname + to.search);
  });
}
