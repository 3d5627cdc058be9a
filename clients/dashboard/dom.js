// Elements made without markup: all that is shown is set as text or as an attribute, never parsed as HTML.

export const byId = (id) => document.getElementById(id);

/** element("td", { class: "x", hidden: true }, "text", child): false, null and undefined leave an attribute out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

/** Changes the text only when it differs, so that nobody's selection is lost to a poll. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The text with places where a long name may be broken. */
export function breakable(text) {
  return text.split(/(?<=[/._])/).flatMap((piece, index) => (index ? [document.createElement("wbr"), piece] : [piece]));
}

/** Seconds for a person: "42 s", "3 min 20 s", "2 h 05 min". */
export function duration(seconds) {
  const whole = Math.round(seconds);
  const padded = (n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${padded(Math.floor((whole % 3600) / 60))} min`;
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** A moment in this browser's time zone: today's by the clock, others by the day. */
export function moment(iso) {
  const when = new Date(iso);
  const today = when.toDateString() === new Date().toDateString();
  return (today ? clock : day).format(when);
}

export const count = (value) => value.toLocaleString("en-US");

/** Ascending numbers with runs joined: [1, 2, 3, 8] is "1–3, 8". */
export function ranges(values) {
  const runs = [];
  for (const value of values) {
    const last = runs.at(-1);
    if (last && value === last.at(-1) + 1) last.push(value);
    else runs.push([value]);
  }
  return runs.map((run) => (run.length > 2 ? `${run[0]}–${run.at(-1)}` : run.join(", "))).join(", ") || "none";
}
