// How far each compared audit is from one of them, the reference: differences with paired intervals, ties marked as such.

import { breakable, element, keepFocus } from "../lib/dom.js";
import { fixed, plural, spread } from "../lib/format.js";
import { askedTransforms, nameAmong, partsOf, transformLabel } from "../lib/scores.js";
import { href } from "../lib/url.js";
import { groupHeader } from "./column-groups.js";
import { replaceHeaders, sorted, sortHeader } from "./sorting.js";

/** { node, choice, show(comparison, scoreName, sort) }. `choice` selects the reference; `onReference(id)` gets what the user chose. */
export function differenceTable({ onReference }) {
  const caption = element("caption"), groupRow = element("tr"), headerRow = element("tr"), body = element("tbody");
  const node = element("table", { class: "compared differences" }, caption, element("thead", {}, groupRow, headerRow), body);
  const select = element("select", { "data-key": "reference" });
  select.addEventListener("change", () => onReference(select.value));
  return {
    node,
    choice: element("label", { class: "reference-choice" }, "Less the scores of ", select),
    show({ audits, differences, method }, scoreName, sort) {
      const labels = new Map(audits.map((audit) => [audit.id, nameAmong(audits, audit)]));
      select.replaceChildren(...audits.map(({ id }) => element("option", { value: id }, labels.get(id))));
      select.value = differences.reference;
      const parts = partsOf(audits);
      const transforms = askedTransforms(method), columns = transforms.flatMap((transform) => parts.map((part) => [transform, part]));
      const difference = (audit, [transform, part]) => audit.parts[part]?.[transform][scoreName];
      caption.replaceChildren(...captionOf(differences.audits, scoreName, labels.get(differences.reference)));
      groupRow.replaceChildren(element("td"), ...transforms.map((transform) => groupHeader(transformLabel(transform), parts.length)));
      const order = { sort, param: "differences" };
      replaceHeaders(headerRow, [sortHeader("Model", "model", order), ...columns.map(([transform, part]) =>
        sortHeader(part, `${transform}.${part}`, { ...order, first: "-", class: part === parts[0] ? "number first" : "number" }))]);
      const sortValues = {
        model: ({ id }) => labels.get(id),
        ...Object.fromEntries(columns.map((column) => [column.join("."), (audit) => difference(audit, column)?.value])),
      };
      keepFocus(body, () => body.replaceChildren(...sorted(differences.audits, sort, sortValues).map((audit) =>
        element("tr", {}, element("th", { scope: "row" }, element("a", { class: "model", href: href({ audit: audit.id }) }, breakable(labels.get(audit.id)))),
          columns.map((column) => differenceCell(difference(audit, column)))))));
    },
  };
}

function captionOf(others, scoreName, reference) {
  const adjusted = others.length > 1 ? `, adjusted by Holm over ${plural(others.length, "audit")},` : "";
  return [`${scoreName === "channel" ? "Channel" : "Layer"} equivariance less that of ${reference}, with half of a paired 95 % interval: `
    + "what the models have in common, because they saw the same images, cancels. ",
    element("span", { class: "tie" }, "tie"), ` means that p${adjusted} is 0.05 or more.`];
}

/** A difference with its sign; a tie says so and is grey. The tooltip has the interval and p, or why there are none. */
function differenceCell(difference) {
  if (difference?.value == null) return element("td", { class: "number", title: difference?.reason }, "–");
  const { value, interval, p_value: p, p_adjusted: adjusted, differs, reason } = difference;
  const title = interval
    ? `95 % interval ${fixed(interval[0])} to ${fixed(interval[1])}; p ${pText(p)}, adjusted ${pText(adjusted)}` : reason;
  const half = interval && element("small", { class: "half" }, spread(value, interval));
  const tie = differs === false && element("span", { class: "tie" }, "tie");
  const unknown = differs == null && element("span", { class: "tie" }, "no interval");
  const sign = value > 0 ? "+" : "";
  return element("td", { class: `number difference ${differs ? "differs" : ""}`, title }, `${sign}${fixed(value)}`, half, tie || unknown);
}

const pText = (p) => (p < 0.001 ? "< 0.001" : fixed(p));
