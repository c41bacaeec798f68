/** The notes of a consultation, each of which can be added, changed and deleted. */

import * as api from "../api.js";
import { h, iconButton, textButton } from "../dom.js";
import { confirm, field, form, loaded, say } from "../parts.js";
import * as session from "../session.js";
import { sayMoment } from "../words.js";

export function notesCard(consultation) {
  const list = h("ul", { class: "notes" });
  const add = async ({ text }, composer) => {
    const note = await api.addNote(consultation._id, consultation.transcript._id, text.trim());
    list.prepend(entry(note));
    composer.reset();
  };
  const area = h("textarea", { name: "text", rows: 3, required: true, placeholder: "Text of the note" });
  const notes = loaded(
    () => api.listNotes(consultation._id),
    (found) => {
      list.replaceChildren(...found.map(entry));
      return list;
    },
    1,
  );
  return h(
    "section",
    { class: "card", "aria-labelledby": "notes" },
    h("h2", { id: "notes" }, "Notes"),
    consultation.transcript && quiet(form(add, "Add note", field("New note", area))),
    notes,
  );
}

/** A form whose button is less prominent than the page's main button. */
function quiet(composer) {
  composer.querySelector(".button").classList.remove("primary");
  return composer;
}

/** One note, which only its author may change. */
function entry(note) {
  const author = note.clinician?._id ?? note.clinician;
  const item = h("li", { class: "note" });
  const own = author === session.userId();
  const head = h(
    "div",
    { class: "note-head" },
    h("time", { datetime: note.created_at }, sayMoment(new Date(note.created_at))),
    !own && note.clinician?.username && h("span", {}, note.clinician.username),
    own && iconButton("edit", "Change this note", () => edit(note, item)),
    own && iconButton("trash", "Delete this note", () => remove(note, item)),
  );
  item.append(head, h("p", {}, note.body));
  return item;
}

function edit(note, item) {
  const area = h("textarea", { name: "text", rows: 3, required: true }, note.body);
  const back = (shown) => {
    const renewed = entry(shown);
    item.replaceWith(renewed);
    renewed.querySelector("button")?.focus();
  };
  const save = async ({ text }) => back({ ...note, ...(await api.changeNote(note._id, text.trim())) });
  const editor = form(save, "Save", field("Change the note", area));
  editor.querySelector(".actions").prepend(textButton("Cancel", () => back(note)));
  item.replaceChildren(editor);
  area.focus();
}

function remove(note, item) {
  confirm("Delete this note?", "This cannot be undone.", "Delete", async () => {
    await api.deleteNote(note._id);
    item.remove();
    say("The note is deleted.");
  });
}
