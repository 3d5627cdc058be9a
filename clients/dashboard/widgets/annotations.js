// What people have written on an audit, and the form that changes it.

import { annotate, purge } from "../lib/access.js";
import { element, setText } from "../lib/dom.js";
import { card } from "./page-layout.js";
import { labelBadges } from "./label-badges.js";

const MAX_NOTE = 2000;

/** { node, update(audit) }; calls `onChange()` when something was written, and `onDeleted()` when the audit is gone. */
export function annotationsCard(id, { onChange, onDeleted, showBanner }) {
  const badges = labelBadges();
  const note = element("p", { class: "written", hidden: true });
  const labels = element("input", { name: "labels", autocomplete: "off", spellcheck: "false", placeholder: "paper keep" });
  const text = element("textarea", { name: "note", rows: 3, maxlength: MAX_NOTE });
  const mistake = element("p", { class: "notice bad", role: "alert", hidden: true });
  const save = element("button", { type: "submit", class: "primary" }, "Save");
  const form = element("form", { class: "annotate", novalidate: true },
    element("label", {}, "Labels", labels, element("small", {}, "words with spaces between them; “keep” keeps the audit from being removed by age")),
    element("label", {}, "Note", text),
    mistake,
    element("div", { class: "bar" }, element("span", { class: "spring" }), save));
  const editor = element("details", { "data-needs": "submit" }, element("summary", {}, "Edit labels and note"), form);
  const archive = element("button", { type: "button", class: "quiet", "data-needs": "admin" });
  const remove = element("button", { type: "button", class: "quiet", "data-needs": "admin" }, "Delete…");
  let latest = null;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    work(save, async () => {
      await annotate(id, { labels: labels.value.split(/[\s,]+/).filter(Boolean), note: text.value });
      editor.open = false;
    }, onChange);
  });
  archive.addEventListener("click", () => work(archive, () => annotate(id, { archived: !latest.archived }), onChange));
  remove.addEventListener("click", () => {
    if (!window.confirm("Delete this audit with its report, its labels and its note? Nothing brings them back; the same request measures it anew.")) return;
    work(remove, () => purge(id), onDeleted);
  });
  // What is being written is not overwritten by a poll.
  editor.addEventListener("toggle", () => editor.open && fill());

  function fill() {
    labels.value = (latest?.labels ?? []).join(" ");
    text.value = latest?.note ?? "";
    mistake.hidden = true;
  }

  async function work(button, task, done) {
    button.disabled = true;
    mistake.hidden = true;
    try {
      await task();
      done();
    } catch (error) {
      if (button === save) {
        setText(mistake, error.message);
        mistake.hidden = false;
      } else showBanner(error.message);
    }
    button.disabled = false;
  }

  const node = card("Labels and note", badges.node, note, editor, element("div", { class: "bar keeping" }, archive, remove));
  node.classList.add("wide");
  return {
    node,
    update(audit) {
      latest = audit;
      badges.update(audit);
      setText(note, audit.note ?? "");
      note.hidden = !audit.note;
      setText(archive, audit.archived ? "List again" : "Archive");
      archive.title = audit.archived ? "Lists show this audit again" : "Lists leave this audit out; its report stays";
      // Whoever can write nothing sees the box only if something is written.
      if (badges.node.hidden && note.hidden) node.dataset.needs = "submit";
      else delete node.dataset.needs;
    },
  };
}
