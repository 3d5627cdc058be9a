// What there is to see of an audit: the maps of one block for one image, and the images on which the model is least equivariant.

import { fresh, request } from "../lib/api.js";
import { breakable, element, setText } from "../lib/dom.js";
import { count, fixed } from "../lib/format.js";
import { WARPS } from "../lib/scores.js";
import { term } from "../lib/terms.js";
import { changed, go, href, params } from "../lib/url.js";
import { channelMaps } from "../widgets/channel-maps.js";
import { leastImages, predicted } from "../widgets/least-images.js";
import { card, pageLayout } from "../widgets/page-layout.js";

const UNKNOWN = "urn:zooaudit:problem:unknown-explanation";
const ENDED = [403, 404, 409, 422, 500, 507]; // what another try does not change

/** The page of the audit `id`. The address has the block, the image, and the shift or the angle. */
export function explanationPage(root, id) {
  const { heading, note, actions, body } = pageLayout(root, "See it", id);
  const path = `audit/${encodeURIComponent(id)}`;
  const controls = element("div", { class: "line" });
  const maps = element("div"), least = element("div");
  const fact = element("p", { class: "note" });
  let report, shownAddress, asked, refreshNow = () => {};

  return {
    title: () => `See it · ${report?.model.name ?? id} · zooaudit`,
    heading: () => heading,
    setRefreshNow: (refresh) => (refreshNow = refresh),
    show: () => location.search !== shownAddress,
    async refresh(signal) {
      try {
        report ??= await fresh(`${path}/report`, signal);
      } catch (error) {
        if (!ENDED.includes(error.problem?.status)) throw error;
        body.replaceChildren(element("p", { class: "notice bad" }, error.message));
        return null;
      }
      if (location.search !== shownAddress) showFrame();
      const waits = [await refreshPart(maps, "explanation", query(), signal, true), await refreshPart(least, "least-equivariant", transform(), signal, false)];
      return waits.some((wait) => wait != null) ? Math.min(...waits.filter((wait) => wait != null)) : null;
    },
  };

  /** The transform that the address names, else the first rotation, else the largest shift, else the first reflection or warp. */
  function transform() {
    const { translations_px: shifts, rotations_deg: angles, reflections = [], warps = [] } = report.method;
    const shift = params().get("shift"), angle = params().get("angle"), axis = params().get("axis"), warp = params().get("warp");
    if (warp) return warpOf(warp);
    if (axis) return { axis };
    if (shift) return { shift_px: Number(shift) };
    if (angle || angles.length) return { angle_deg: Number(angle ?? angles[0]) };
    if (shifts.length) return { shift_px: shifts.at(-1) };
    return reflections.length ? { axis: reflections[0] } : { warp: warps[0].kind, amount: warps[0].amounts[0] };
  }

  function query() {
    const image = params().get("image") ?? "0";
    return { block: params().get("block") ?? blocks().at(-1), image: /^\d+$/.test(image) ? Number(image) : image, ...transform() };
  }

  /** The names of the blocks that have maps. */
  function blocks() {
    return report.blocks.filter(({ part }) => part !== "Pool" && part !== "Final").map(({ name }) => name);
  }

  function showFrame() {
    shownAddress = location.search;
    asked = new Set();
    for (const part of [maps, least]) part.replaceChildren(element("p", { class: "note" }, "Loading…"));
    const { block, image, shift_px: shift, angle_deg: angle, axis, warp, amount } = query();
    const transformName = warp ? `warp ${warp}:${amount}` : axis ? `axis ${axis}` : shift == null ? `angle ${angle}` : `shift ${shift}`;
    heading.replaceChildren(...breakable(report.model.name));
    setText(note, `${report.images.dataset} · what the strongest channels of a block make of an image x and of the transformed image T(x)`);
    actions.replaceChildren(element("a", { class: "button", href: href({ audit: id }) }, "Report"));
    setText(fact, "");
    showControls(block, image, transformName);
    if (!maps.isConnected) {
      body.replaceChildren(element("section", { class: "card wide" }, controls, fact), card("Maps", maps, element("p", { class: "note" },
        "Strength is how much the map of x varies over its cells. x and T(x) share one scale in each row, dark is low and bright is high. In the difference, on the same scale, white is none, orange is more under T, and blue is less. Only the cells that both have are compared; under a warp, the others are shown at the channel’s mean. ", moreOnThis())),
      card("Least equivariant images", element("p", { class: "note" },
        "Similarity tells how much of what sets an image apart from the others is still there after T: 1 is all of it, 0 none. It is a number of one image, and no score of the report. ", moreOnThis()), least));
    }
  }

  function showControls(block, image, transformName) {
    const { translations_px: shifts, direction, rotations_deg: angles, reflections = [], warps = [] } = report.method;
    const transforms = [...shifts.map((px) => [`shift ${px}`, `${px} px${direction ? ` ${direction}` : ""}`]),
      ...angles.map((deg) => [`angle ${deg}`, `${deg}°`]), ...reflections.map((axis) => [`axis ${axis}`, `${axis} reflection`]),
      ...warps.flatMap(({ kind, amounts }) => amounts.map((amount) => [`warp ${kind}:${amount}`, `warp ${kind} ${WARPS[`warp_${kind}`].text(amount)}`]))];
    const select = (label, options, chosen, choose) => {
      const made = element("select", { "data-key": label, onchange: (event) => go(choose(event.target.value)) },
        options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
      return element("label", {}, label, made);
    };
    const places = report.images.count + report.images.skipped.length;
    const isPlace = typeof image === "number";
    const step = (text, place, label) => element("a", {
      class: "button", "aria-label": label, "data-key": label, href: isPlace && place >= 0 && place < places ? changed({ image: place }) : null,
      "aria-disabled": !(isPlace && place >= 0 && place < places) && "true",
    }, text);
    const number = element("input", { type: "number", min: 0, max: places - 1, value: isPlace ? image : null, placeholder: isPlace ? null : image, "data-key": "image",
      onchange: (event) => event.target.checkValidity() && event.target.value !== "" && go(changed({ image: event.target.value })) });
    const focused = controls.contains(document.activeElement) && document.activeElement.dataset.key;
    controls.replaceChildren(
      select("Block", blocks().map((name) => [name, name]), block, (name) => changed({ block: name })),
      select("Transform", transforms, transformName, (name) => {
        const [kind, amount] = name.split(" ");
        return changed({ shift: null, angle: null, axis: null, warp: null, [kind]: amount });
      }),
      element("label", { class: "image" }, `Image, 0 to ${count(places - 1)}`, number),
      element("span", { class: "bar steps" }, step("← Previous", image - 1, "Previous image"), step("Next →", image + 1, "Next image")));
    if (focused) controls.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  /**
   * Shows in `part` what the service has, and returns the milliseconds until the next look, or null. `atOnce` asks for
   * what nobody has asked for; else there is a button for that.
   */
  async function refreshPart(part, what, wanted, signal, atOnce) {
    const address = location.search, key = `${what} ${JSON.stringify(wanted)}`;
    if (asked.has(`${key} ended`)) return null;
    const search = new URLSearchParams(wanted);
    let answer;
    try {
      answer = await request(`${path}/${what}?${search}`, { signal }).catch((error) => {
        if (error.problem?.type !== UNKNOWN || !(atOnce || asked.has(key))) throw error;
        // A dialog would come back with every look.
        return request(`${path}/${what}`, { method: "POST", body: wanted, signal, asksForKey: false });
      });
    } catch (error) {
      if (signal.aborted || ![401, ...ENDED].includes(error.problem?.status)) throw error;
      if (address !== location.search) return null;
      const isOpen = error.problem.status === 401 || error.problem.type === UNKNOWN;
      part.replaceChildren(...(isOpen ? [askButton(what, wanted, key)] : [problemNotice(error)]));
      return null;
    }
    if (address !== location.search) return null;
    if (answer.status === 202) {
      const { state, before } = answer.body;
      const waits = before ? `It waits for a worker, behind ${before} others.` : "It waits for a worker.";
      part.replaceChildren(element("p", { class: "note", role: "status" }, state === "making" ? "A worker is making it…" : waits));
      return 1000 * (answer.retryAfterS ?? 1);
    }
    asked.add(`${key} ended`);
    if (what === "explanation") showMaps(part, answer.body);
    else part.replaceChildren(leastImages(answer.body, query().image));
    return null;
  }

  function showMaps(part, explanation) {
    const { image, place, audit_channel: score, prediction } = explanation;
    fact.replaceChildren(`Image ${count(place)}, ${image}`, prediction ? ` · predicted: ${predicted(prediction)}` : "",
      " · the block’s ", term("channel", "channel"), ` score over all images is ${fixed(score)}`);
    part.replaceChildren(channelMaps(explanation));
  }

  function askButton(what, wanted, key) {
    const text = what === "explanation" ? "Make the maps" : "Find them";
    const button = element("button", { type: "button", class: "primary" }, text);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await request(`${path}/${what}`, { method: "POST", body: wanted });
        asked.add(key);
        refreshNow();
      } catch (error) {
        button.parentElement?.replaceChildren(button, problemNotice(error));
        button.disabled = false;
      }
    });
    const why = what === "explanation" ? "They need an API key, since nobody has asked for them yet." : "A worker sends up to 256 images through the model, which may take minutes.";
    return element("p", { class: "bar" }, button, element("span", { class: "note" }, why));
  }
}

/** The transform of a warp as the address has it: "rotation:15". */
function warpOf(text) {
  const [warp, amount] = text.split(":");
  return { warp, amount: Number(amount) };
}

const moreOnThis = () => element("a", { href: "method#seeing-it" }, "More on this");

const problemNotice = (error) => element("p", { class: "notice bad" }, error.message);
