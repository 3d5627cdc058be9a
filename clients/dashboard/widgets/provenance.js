// Where a report's numbers come from: everything needed to measure them again.

import { element } from "../lib/dom.js";
import { furtherTexts, reflectionsText, shiftsText } from "../lib/audit.js";
import { count, duration, instant, plural } from "../lib/format.js";

export function provenance({ id, protocol, repetition, model, images, method, environment, timing }) {
  const code = (text) => element("code", {}, text);
  const list = element("dl");
  const add = (term, ...values) => list.append(element("dt", {}, term), element("dd", {}, ...values));
  add("Weights", element("strong", {}, model.weights.kind), ` · ${model.weights.origin}`,
    model.weights.version ? ` · version ${model.weights.version}` : "");
  add("SHA-256 of the weights", code(model.weights.sha256));
  add("Model", `${model.architecture} (${model.family}, ${model.source}) · ${count(model.parameters)} parameters · ${model.input_size} px`);
  if (model.code) add("Code of the model", `${model.code.function} · SHA-256 `, code(model.code.sha256));
  const skipped = images.skipped.length ? ` · ${images.skipped.length} could not be decoded` : "";
  const stopped = images.stopped === "tolerance" ? ` · enough for the tolerance, of ${count(images.requested)} requested` : "";
  add("Images", `${images.dataset} · ${count(images.count)} · seed ${images.seed}${stopped}${skipped}`);
  add("SHA-256 of image list", code(images.sha256));
  const angles = method.rotations_deg.length ? `${method.rotations_deg.join("°, ")}°` : "none";
  const further = [method.reflections && reflectionsText(method), ...furtherTexts(method, { whole: true })].filter(Boolean);
  add("Method", `${method.similarity} · border ${method.border} · ${method.precision} · ${shiftsText(method)} · `
    + `rotations ${angles} · ${further.map((text) => `${text} · `).join("")}resize ${method.resize}, canvas ${method.canvas_size} px · protocol ${protocol}`
    + (method.tolerance == null ? "" : ` · tolerance ${method.tolerance}`) + (repetition ? ` · repetition ${repetition}` : ""));
  add("Environment", `zooaudit ${environment.zooaudit} · Python ${environment.python} · torch ${environment.torch} · `
    + `timm ${environment.timm} · torchvision ${environment.torchvision} · ${environment.device} · `
    + `${plural(environment.threads, "thread")}, batch size ${environment.batch_size}`
    + (environment.devices ? ` · unlike devices: ${environment.devices.join("; ")}` : ""));
  add("Time", `${instant(timing.finished_at)} · ${duration(timing.seconds)}${timing.workers ? ` of ${timing.workers} workers, added up` : ""} · ${plural(timing.forward_images, "forward image")}, `
    + `${timing.images_per_second.toFixed(1)} a second`
    + (timing.repeated_images ? ` · ${plural(timing.repeated_images, "forward image")} measured again` : ""));
  add("Audit", code(id));
  return list;
}
