/** The transcript: shown while it arrives, saved, and corrected by hand. */

import * as api from "../api.js";
import { h, textButton } from "../dom.js";
import { complain, field, form } from "../parts.js";
import { Controls } from "./controls.js";

/** Unsaved texts by transcript. They survive the end of a session, and are saved in the next one. */
const unsaved = new Map();

export class Transcript {
  element;
  #id;
  #saved;
  #current;
  #before = "";
  #controls;
  #edit = textButton("Correct", () => this.#openEditor(), { look: "small", drawing: "edit" });
  #text = h("div", { class: "spoken", "aria-live": "polite" });
  #editor = null;
  #saving = Promise.resolve();

  constructor(consultation) {
    this.#id = consultation.transcript?._id;
    this.#saved = consultation.transcript?.transcript_text ?? "";
    this.#current = unsaved.get(this.#id) ?? this.#saved;
    this.#controls = new Controls(consultation._id, {
      onstate: (state) => this.#follow(state),
      ontext: (text) => this.#hear(text),
    });
    const head = h("div", { class: "card-head" }, h("h2", { id: "transcript" }, "Transcript"), this.#edit);
    const parts = [head, this.#controls.element, this.#text];
    this.element = h("section", { class: "card", "aria-labelledby": "transcript" }, parts);
    this.#write();
    this.#follow("idle");
  }

  /** Ends a running recording and correction, and returns when the text is saved. */
  async settle() {
    await this.#controls.end();
    if (this.#editor) await this.#correct(this.#editor.querySelector("textarea").value);
    await this.#save(this.#current);
  }

  /** Saves the text so far when the page is left. */
  leave() {
    this.#controls.abandon();
    this.#keep();
  }

  #follow(state) {
    this.#edit.disabled = state !== "idle";
    if (state === "connecting") this.#before = this.#current;
    if (state !== "idle") return;
    this.#controls.say(this.#current ? "Record more" : "Press to record");
    this.#keep();
  }

  #hear(text) {
    if (!text) return;
    this.#current = [this.#before, text].filter(Boolean).join("\n\n");
    unsaved.set(this.#id, this.#current);
    this.#write();
  }

  /** Saves in the background; after a failure it shows a message and retains the text. */
  async #keep() {
    try {
      await this.#save(this.#current);
    } catch (error) {
      this.#controls.say("Not saved yet");
      complain(error);
    }
  }

  /** Saves texts one after the other, so that an earlier text never overwrites a later one. */
  #save(text) {
    const saved = this.#saving.then(() => this.#put(text));
    this.#saving = saved.catch(() => null);
    return saved;
  }

  async #put(text) {
    if (text === this.#saved) return;
    await api.saveTranscript(this.#id, text);
    this.#saved = this.#current = text;
    unsaved.delete(this.#id);
    this.#controls.say("Saved");
  }

  /** Appends to a text that has only grown, so that screen readers read only the new part. */
  #write() {
    const shown = this.#text.textContent;
    if (!this.#current) {
      this.#text.replaceChildren(h("p", { class: "muted" }, "The transcript appears here while you talk."));
    } else if (this.#text.querySelector("p") || !this.#current.startsWith(shown)) {
      this.#text.replaceChildren(h("span", {}, this.#current));
    } else if (this.#current !== shown) {
      this.#text.append(h("span", { class: "fresh" }, this.#current.slice(shown.length)));
    }
  }

  #openEditor() {
    const area = h("textarea", { name: "text", rows: 8, required: true }, this.#current);
    const editor = form(({ text }) => this.#correct(text), "Save", field("Correct the transcript", area));
    editor.querySelector(".actions").prepend(textButton("Cancel", () => this.#closeEditor()));
    this.#editor = editor;
    this.#edit.hidden = this.#text.hidden = this.#controls.disabled = true;
    this.element.append(editor);
    area.focus();
  }

  async #correct(text) {
    if (text.trim()) await this.#save(text.trim());
    this.#write();
    this.#closeEditor();
  }

  #closeEditor() {
    this.#editor.remove();
    this.#editor = null;
    this.#edit.hidden = this.#text.hidden = this.#controls.disabled = false;
    this.#edit.focus();
  }
}
