// Numbers, times and names as a person reads them.

/** "42 s", "3 min 20 s", "2 h 05 min". */
export function duration(seconds) {
  const whole = Math.round(seconds);
  const padded = (n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${padded(Math.floor((whole % 3600) / 60))} min`;
}

/** An estimate of seconds, without digits that it does not deserve: "47 s", "4 min 10 s", "17 min", "3 h 10 min". */
export function about(seconds) {
  const step = seconds < 60 ? 1 : seconds < 600 ? 10 : seconds < 3600 ? 60 : 600;
  return duration(Math.max(1, Math.round(seconds / step) * step)).replace(/ 00 (s|min)$/, "");
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** A moment in this browser's time zone: the time if it was today, the day if it was this year, else the day and year. */
export function moment(iso) {
  const when = new Date(iso), now = new Date();
  if (when.toDateString() === now.toDateString()) return clock.format(when);
  return (when.getFullYear() === now.getFullYear() ? day : year).format(when);
}

/** A moment in full, for a tooltip. */
export const instant = (iso) => new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "long" });

export const count = (value) => value.toLocaleString("en-US");

/** "1 block", "12 blocks"; "2 matches" where an s is not enough. */
export const plural = (value, noun, nouns = `${noun}s`) => `${count(value)} ${value === 1 ? noun : nouns}`;

/** A place in a row: "1st", "22nd", "113th". */
export function ordinal(number) {
  const isTeen = [11, 12, 13].includes(number % 100);
  return `${count(number)}${(!isTeen && { 1: "st", 2: "nd", 3: "rd" }[number % 10]) || "th"}`;
}

/** 11689512 is "11.7 M". */
export function millions(value) {
  if (value < 100_000) return count(value);
  return `${(value / 1e6).toFixed(value < 1e7 ? 2 : value < 1e9 ? 1 : 0)} M`;
}

/** Three decimals, with a true minus sign; a dash for a missing value. */
export const fixed = (value, digits = 3) => (value == null ? "–" : value.toFixed(digits).replace("-", "−"));

/** A number with the digits that it has, and a true minus sign. */
export const signed = (value) => String(value).replace("-", "−");

/** What stands beside a value for its confidence interval: half the width, "±0.012", or the ends of one that is not symmetric, as where 0
 *  or 1 cuts it off, "[0.000, 0.252]"; "" without an interval. */
export function spread(value, interval) {
  if (!interval) return "";
  const [low, high] = interval;
  return Math.abs(high + low - 2 * value) < 0.001 ? `±${((high - low) / 2).toFixed(3)}` : `[${fixed(low)}, ${fixed(high)}]`;
}

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

const WARP = /^(warp by |scale |shear )(-?\d[\d.]*)( px|°|)$/;
const MOST_WARPS = 6; // that are listed one by one

/** Amounts with what stands before and behind them: "warp by 15°, 30°", or of many "warp by 5° to 175° (36)". */
function warpRange(before, behind, values) {
  const texts = values.sort((a, b) => a - b).map((value) => signed(value) + behind);
  return before + (texts.length > MOST_WARPS ? `${texts[0]} to ${texts.at(-1)} (${texts.length})` : texts.join(", "));
}

/** Transforms as people read them, with runs joined: ["1 px", "2 px", "3 px", "4 px zero", "90°"] is "1–3 px, 4 px zero, 90°". */
export function transformRanges(transforms) {
  const amounts = new Map(); // the amounts of each kind, such as " px zero"; null where there is none
  for (const transform of transforms) {
    const [, before, number, behind] = WARP.exec(transform) ?? [];
    const [, amount, kind] = before ? [null, number, `${before}…${behind}`] : /^(\d{1,4})( px.*|°.*)$/s.exec(transform) ?? [null, null, transform];
    amounts.set(kind, [...(amounts.get(kind) ?? []), amount]);
  }
  return [...amounts].map(([kind, ofKind]) => {
    if (ofKind[0] == null) return kind;
    const [before, behind] = kind.split("…");
    if (behind != null) return warpRange(before, behind, ofKind.map(Number));
    const runs = ranges([...new Set(ofKind.map(Number))].sort((a, b) => a - b));
    return (kind.startsWith(" ") ? runs : runs.replaceAll(", ", `${kind}, `)) + kind;
  }).join(", ");
}

/** A name for weights among others of the same model, spelled as the service's comparisons spell it. */
export const weightsLabel = ({ kind, origin, version }) =>
  kind === "checkpoint" ? `checkpoint:${origin}${version ? `@${version.slice(0, 8)}` : ""}` : kind;
