// The page of one model: the blocks that an audit of it would measure.

import { request } from "../lib/api.js";
import { breakable, element, setText } from "../lib/dom.js";
import { millions, plural } from "../lib/format.js";
import { href, params } from "../lib/url.js";
import { blockTable } from "../widgets/block-table.js";
import { facts, modelLinks, pageLayout, wideCard } from "../widgets/page-layout.js";

/** The page of the model `name`, which may lack the zoo or the tag; the service answers the full name. */
export function modelPage(root, name) {
  const { heading, note, actions, body } = pageLayout(root, "Model", breakable(name));
  let blocks, fullName = name;

  return {
    title: () => `${fullName} · zooaudit`,
    heading: () => heading,
    show: () => void blocks?.show(params().get("sort")),
    async refresh(signal) {
      try {
        const { body: model, retryAfterS } = await request(`models/${name.split("/").map(encodeURIComponent).join("/")}`, { signal });
        showModel(model);
        return retryAfterS && retryAfterS * 1000; // while a worker looks for the blocks
      } catch (error) {
        if (![404, 422].includes(error.problem?.status)) throw error;
        showUnknown(error);
        return null;
      }
    },
  };

  function showModel(model) {
    fullName = model.full_name;
    heading.replaceChildren(...breakable(fullName));
    setText(note, model.supported ? "What an audit measures: the blocks, found on untrained weights" : "");
    actions.replaceChildren(
      element("a", { class: "button", href: href({ q: fullName }) }, "Its audits"),
      model.supported ? element("a", { class: "button primary", href: href({ new: fullName }) }, "Audit…") : "");
    const otherTags = model.tags.filter((tag) => `${model.name}.${tag}` !== fullName);
    body.replaceChildren(
      facts([
        ["Zoo", model.source],
        ["Family", model.family],
        ["Input", model.input_size ? `${model.input_size} px` : "not stated"],
        ["Parameters", model.parameters ? millions(model.parameters) : "not stated"],
        ["ImageNet top-1", model.imagenet_top1 == null ? "not stated" : `${model.imagenet_top1.toFixed(2)} %`],
        ["Weights", model.pretrained ? "published" : "none published"],
        ...(model.code ? [["Made by", breakable(model.code.function)]] : []),
      ]),
      depthCard(model),
      ...(otherTags.length ? [wideCard("Other weights", element("ul", { class: "plain columns" },
        otherTags.map((tag) => element("li", {}, element("a", { href: href({ model: `${model.name}.${tag}` }) }, breakable(tag))))))] : []));
  }

  function depthCard(model) {
    if (!model.blocks?.length) return wideCard("Depth", element("p", { class: "notice" }, model.blocks_reason));
    blocks = blockTable(model.blocks);
    blocks.show(params().get("sort"));
    return wideCard("Depth", element("p", { class: "note" }, blocksByPart(model.blocks)), blocks.node);
  }

  function showUnknown({ message, problem }) {
    const names = problem.suggestions ?? [];
    body.replaceChildren(element("div", { class: "notice bad" }, element("p", {}, message), names.length > 0 && modelLinks(names)));
  }
}

/** "Early 3 blocks, Middle 3 blocks, ..." */
function blocksByPart(blocks) {
  const counts = new Map();
  for (const { part } of blocks) counts.set(part, (counts.get(part) ?? 0) + 1);
  return [...counts].map(([part, size]) => `${part} ${plural(size, "block")}`).join(", ");
}
