// The table of blocks, which sorts by any column.

import { arrange, breakable, element, scrollable } from "../lib/dom.js";
import { count, plural } from "../lib/format.js";
import { PARTS, SCORE_NAMES, transformLabel, WARPS } from "../lib/scores.js";
import { term } from "../lib/terms.js";
import { estimateOf, scoreCell } from "./score-cell.js";
import { replaceHeaders, sorted, sortHeader } from "./sorting.js";

/** [transform, score] of each score column; beside those of a warp is its interpolation. */
const scoreColumns = (transforms) => transforms.flatMap((transform) =>
  [...SCORE_NAMES, ...(WARPS[transform] ? ["interpolation"] : [])].map((scoreName) => [transform, scoreName]));
const SORT_VALUES = {
  block: (block) => block.name,
  part: (block) => PARTS.indexOf(block.part),
  channels: (block) => block.channels,
  map: (block) => block.height * block.width,
  layout: (block) => block.layout,
  dead: (block) => block.dead_channels,
};

/**
 * { node, show(sort) } for the blocks of a report, with their scores under these `transforms`, or for those of a model,
 * which have none; unsorted, they stand as they run. `seeIt(block)` is the address of a block's maps, or null.
 */
export function blockTable(blocks, transforms = [], seeIt = () => null) {
  const scored = transforms.length > 0, columns = scoreColumns(transforms);
  const values = { ...SORT_VALUES, ...Object.fromEntries(columns.map(([transform, scoreName]) => [`${transform}.${scoreName}`, (block) => block[transform][scoreName]])) };
  const rows = new Map(blocks.map((block) => [block, blockRow(block, seeIt(block), columns)]));
  const headerRow = element("tr");
  const body = element("tbody");
  const table = element("table", { class: scored ? "blocks" : "blocks unscored" },
    element("caption", {}, `${plural(blocks.length, "block")}, in the order in which they run unless sorted`,
      scored && ["; ± ", term("interval", "half of a 95 % confidence interval")]),
    element("thead", {}, headerRow), body);
  return {
    node: scrollable("Blocks", table),
    show(sort) {
      const column = (label, name, attributes) => sortHeader(label, name, { sort, ...attributes });
      const number = { class: "number", first: "-" }, detail = { class: "detail number", first: "-" };
      replaceHeaders(headerRow, [
        column("Block", "block"), explainedColumn(column("Part", "part", { class: "detail" }), "part", "part"), column("Channels", "channels", detail), column("Map", "map", detail),
        column("Layout", "layout", { class: "detail" }),
        ...(scored ? [explainedColumn(column("Dead", "dead", detail), "dead-channels", "dead")] : []),
        ...columns.map(([transform, scoreName]) => explainedColumn(
          column(`${transform === "translation" ? "Transl." : transformLabel(transform)} ${scoreName}`, `${transform}.${scoreName}`, number), scoreName, scoreName)),
      ]);
      arrange(body, sorted(blocks, sort, values).map((block) => rows.get(block)));
    },
  };
}

/** A header whose label sorts, with a mark behind it that explains the label. */
function explainedColumn(header, name, word) {
  header.append(term(name, word, { mark: true }));
  return header;
}

/** A narrow screen has the details below the block's name instead of in columns of their own, which leaves room for the scores. */
function blockRow(block, address, columns) {
  const detail = (text, isNumber = true) => element("td", { class: isNumber ? "detail number" : "detail" }, text);
  const name = element("code", {}, breakable(block.name));
  const map = `${block.height} × ${block.width}`;
  const dead = block.dead_channels ? `${count(block.dead_channels)} dead` : null;
  const summary = [block.part, `${count(block.channels)} × ${map}`, block.layout, dead].filter(Boolean).join(" · ");
  return element("tr", {},
    element("th", { scope: "row" }, address ? element("a", { class: "see-it", href: address }, name, " ", element("span", {}, "see it")) : name, element("span", { class: "sub only-narrow" }, summary)),
    detail(block.part, false), detail(count(block.channels)), detail(map), detail(block.layout, false),
    columns.length > 0 && detail(count(block.dead_channels)),
    columns.map(([transform, scoreName]) => scoreCell(estimateOf(block[transform], scoreName))));
}
