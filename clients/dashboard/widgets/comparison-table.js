// The table of compared audits: a row for each, a column for each part under each transform, shaded by the score.

import { breakable, element, keepFocus } from "../lib/dom.js";
import { fixed, millions, spread } from "../lib/format.js";
import { askedTransforms, hasTwin, partsOf, transformLabel } from "../lib/scores.js";
import { term } from "../lib/terms.js";
import { href, params } from "../lib/url.js";
import { groupHeader } from "./column-groups.js";
import { estimateOf } from "./score-cell.js";
import { replaceHeaders, sorted, sortHeader } from "./sorting.js";
import { weightsBadge } from "./weights-badge.js";

/**
 * { node, show(comparison, scoreName, sort) }. Calls `onTop1(id, text)` when the user enters an accuracy; `without(id)`
 * is the address of the comparison without that audit.
 */
export function comparisonTable({ onTop1, without }) {
  const caption = element("caption");
  const groupRow = element("tr"), headerRow = element("tr"), body = element("tbody");
  const node = element("table", { class: "compared" }, caption, element("thead", {}, groupRow, headerRow), body);
  return {
    node,
    show({ audits, method }, scoreName, sort) {
      const parts = partsOf(audits);
      const transforms = askedTransforms(method), columns = transforms.flatMap((transform) => parts.map((part) => [transform, part]));
      const top1Texts = (params().get("top1") ?? "").split(",");
      keepFocus(caption, () => caption.replaceChildren(
        term(scoreName, scoreName === "channel" ? "Channel equivariance" : "Layer equivariance"), " by ", term("part", "part"),
        " of the depth, from 0 to 1; at ", term("pool", "Pool"), " and ", term("final", "Final"), ", ", term("invariance", "invariance"),
        ". Top-1 is the zoo’s figure unless you put one in."));
      groupRow.replaceChildren(element("td", { colspan: 2 }), element("td", { class: "parameters" }),
        ...transforms.map((transform) => groupHeader(transformLabel(transform), parts.length)), element("td"));
      const number = { sort, first: "-", class: "number" };
      replaceHeaders(headerRow, [
        sortHeader("Model", "model", { sort }), sortHeader("Top-1, %", "top1", number), sortHeader("Parameters", "parameters", { ...number, class: "number parameters" }),
        ...columns.map(([transform, part]) =>
          sortHeader(part, `${transform}.${part}`, { ...number, class: part === parts[0] ? "number first" : "number" })),
        element("td"),
      ]);
      const sortValues = {
        model: (audit) => audit.model, top1: (audit) => audit.imagenet_top1, parameters: (audit) => audit.parameters,
        ...Object.fromEntries(columns.map(([transform, part]) => [`${transform}.${part}`, (audit) => audit.parts[part]?.[transform][scoreName]])),
      };
      keepFocus(body, () => body.replaceChildren(...sorted(audits, sort, sortValues).map((audit) => {
        const cells = columns.map(([transform, part]) => shadedCell(audit.parts[part]?.[transform], scoreName));
        const top1 = top1Input(audit, top1Texts[audits.indexOf(audit)] ?? "", onTop1);
        return comparedRow(audit, top1, cells, hasTwin(audits, audit), audits.length > 2 && without(audit.id));
      })));
    },
  };
}

/** One compared audit, with its id if it `isTwin`, of the same model and weights as another; `withoutAddress` is false where there are too few audits to leave one out. */
function comparedRow(audit, top1, cells, isTwin, withoutAddress) {
  const link = element("a", { class: "model", href: href({ audit: audit.id }) }, breakable(audit.model));
  const badge = audit.weights === "pretrained" ? [] : [" ", weightsBadge(audit.weights)];
  return element("tr", {}, element("th", { scope: "row" }, link, badge, isTwin && element("small", {}, ` ${audit.id.slice(0, 8)}`)), element("td", { class: "number" }, top1),
    element("td", { class: "number parameters" }, millions(audit.parameters)), cells,
    element("td", {}, withoutAddress && element("a", { class: "leave", href: withoutAddress, "aria-label": `Leave out ${audit.model}`, title: "Leave out" }, "×")));
}

/** The field for an audit's accuracy: what the user `entered` before, or as a placeholder what the zoo publishes. */
function top1Input(audit, entered, onTop1) {
  const input = element("input", {
    class: "top1", inputmode: "decimal", "aria-label": `ImageNet top-1 of ${audit.model}, per cent`, autocomplete: "off", "data-key": `top1:${audit.id}`,
    placeholder: audit.imagenet_top1 == null || entered ? "unknown" : audit.imagenet_top1.toFixed(2), value: entered,
  });
  input.addEventListener("change", () => {
    const text = input.value.trim().replace(",", ".");
    const valid = text === "" || (/^\d{1,3}(\.\d{1,12})?$/.test(text) && Number(text) <= 100);
    input.setCustomValidity(valid ? "" : "Give a number from 0 to 100, such as 79.3, or leave this blank.");
    if (valid) onTop1(audit.id, text);
    else {
      input.setAttribute("aria-invalid", "true");
      input.reportValidity();
    }
  });
  input.addEventListener("input", () => {
    input.setCustomValidity("");
    input.removeAttribute("aria-invalid");
  });
  return input;
}

/** The higher the score, the darker; `score` is undefined where the model has no such part. */
function shadedCell(score, scoreName) {
  const { value, interval, reason } = score ? estimateOf(score, scoreName) : {};
  const interpolation = score?.interpolation == null ? "" : `; interpolation ${fixed(score.interpolation)}`;
  const title = interval ? `${spread(value, interval)}: 95 % confidence interval ${fixed(interval[0])} to ${fixed(interval[1])}${interpolation}` : reason;
  const cell = element("td", { class: "number heat", title }, fixed(value));
  if (value != null) cell.style.setProperty("--heat", value);
  return cell;
}
