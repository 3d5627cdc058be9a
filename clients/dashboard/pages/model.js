// The page of one model: what an audit of it would measure.

import { request } from "../lib/api.js";
import { blocksTable } from "../widgets/block-table.js";
import { breakable, element, setText } from "../lib/dom.js";
import { millions, plural } from "../lib/format.js";
import { facts } from "./report.js";
import { href, params } from "../lib/url.js";

export function modelPage(root, name) {
  const heading = element("h1", { tabindex: -1 }, breakable(name));
  const note = element("p", { class: "badges" });
  const actions = element("div", { class: "bar actions" });
  const body = element("div", { class: "body" }, element("p", { class: "note" }, "Loading…"));
  root.append(element("nav", { "aria-label": "Breadcrumb", class: "crumbs" }, element("a", { class: "home", href: "/" }, "Audits"), " / ", "Model"),
    element("header", { class: "bar head" }, element("div", {}, heading, note), actions), body);
  let blocks, full = name;

  return {
    title: () => `${full} · zooaudit`,
    heading: () => heading,
    show: () => void blocks?.show(params().get("sort")),
    async refresh(signal) {
      let found;
      try {
        found = await request(`/models/${name.split("/").map(encodeURIComponent).join("/")}`, { signal });
      } catch (error) {
        if (![404, 422].includes(error.problem?.status)) throw error;
        const links = (error.problem.suggestions ?? []).map((one) => element("li", {}, element("a", { href: href({ model: one }) }, one)));
        body.replaceChildren(element("div", { class: "notice bad" }, element("p", {}, error.message), links.length > 0 && element("ul", {}, links)));
        return null;
      }
      showModel(found.body);
      return found.retryAfterS && found.retryAfterS * 1000; // while a worker is finding its blocks
    },
  };

  function showModel(model) {
    full = model.full_name;
    heading.replaceChildren(...breakable(full));
    setText(note, model.supported ? "What an audit measures: the blocks, found on untrained weights" : "");
    actions.replaceChildren(
      element("a", { class: "button", href: href({ q: full }) }, "Its audits"),
      model.supported ? element("a", { class: "button primary", href: href({ new: full }) }, "Audit…") : "");
    const tags = model.tags.filter((tag) => `${model.name}.${tag}` !== full);
    const section = (title, ...children) => element("section", { class: "card wide" }, element("h2", {}, title), ...children);
    const split = model.blocks?.length ? section("Depth", element("p", { class: "note" }, sizes(model.blocks)), table(model.blocks))
      : section("Depth", element("p", { class: "notice" }, model.blocks_reason));
    body.replaceChildren(
      facts([
        ["Zoo", model.source],
        ["Family", model.family],
        ["Input", model.input_size ? `${model.input_size} px` : "not stated"],
        ["Parameters", model.parameters ? millions(model.parameters) : "not stated"],
        ["ImageNet top-1", model.imagenet_top1 == null ? "not stated" : `${model.imagenet_top1.toFixed(2)} %`],
        ["Weights", model.pretrained ? "published" : "none published"],
      ]),
      split,
      ...(tags.length ? [section("Other weights", element("ul", { class: "plain columns" },
        tags.map((tag) => element("li", {}, element("a", { href: href({ model: `${model.name}.${tag}` }) }, breakable(tag))))))] : []));
  }

  function table(found) {
    blocks = blocksTable(found);
    blocks.show(params().get("sort"));
    return blocks.node;
  }
}

/** "Early 3 blocks, Middle 3 blocks, ..." */
function sizes(blocks) {
  const parts = new Map();
  for (const { part } of blocks) parts.set(part, (parts.get(part) ?? 0) + 1);
  return [...parts].map(([part, size]) => `${part} ${plural(size, "block")}`).join(", ");
}
