// The address alone says what the page shows, so that back, forward, reload and a link sent to a colleague keep it.
// All addresses are relative: a proxy may serve the dashboard below a path of its own.

let onChange = () => {};

/** The present address's parameters. */
export const params = () => new URLSearchParams(location.search);

/** The address with these parameters, in readable form: href({ audit: id }); href({}) is that of all audits. */
export function href(values) {
  const query = Object.entries(values)
    .filter(([, value]) => value != null && value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%2F", "/")}`);
  return query.length ? `?${query.join("&")}` : "./";
}

/** The present address with some parameters changed; null leaves one out. */
export const changed = (changes) => href({ ...Object.fromEntries(params()), ...changes });

/** Goes to an address; `replace` makes no new entry of the history. */
export function go(address, { replace = false } = {}) {
  if (new URL(address, location).search === location.search) return;
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
    if (to.origin !== location.origin || to.pathname !== location.pathname || to.hash || link.hasAttribute("download")) return;
    event.preventDefault();
    go(to.search || href({}));
  });
}
