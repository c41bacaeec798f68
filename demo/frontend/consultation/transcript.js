/** What is said: recorded, shown while it comes in, saved, and corrected by hand. */

import * as api from "../api.js";
import config from "../config.js";
import { h, icon, textButton } from "../dom.js";
import { complain, field, form, say } from "../parts.js";
import { Recorder } from "../recorder.js";
import { sayDuration } from "../words.js";
import { Meter } from "./meter.js";

const STATES = {
  idle: { label: "Record", said: "" },
  connecting: { label: "Cancel", said: "Connecting…" },
  recording: { label: "Stop", said: "Listening" },
  finishing: { label: "Stop", said: "Writing down the rest…" },
};

export class Transcript {
  element;
  #consultation;
  #id;
  #saved;
  #heard = "";
  #before = "";
  #began = 0;
  #timer = 0;
  #settled = Promise.resolve();
  #settle = null;
  #recorder = new Recorder(api.streamUrl, config.chunkMs, {
    onstate: (state) => this.#show(state),
    ontext: (text) => this.#hear(text),
    ontrouble: (words) => say(words, "bad"),
  });
  #meter = new Meter(() => this.#recorder.level());
  #button = h("button", { type: "button", class: "record", onclick: () => this.#toggle() });
  #state = h("p", { class: "recorder-state", role: "status" });
  #clock = h("span", { class: "clock" });
  #edit = textButton("Correct", () => this.#openEditor(), { look: "small", drawing: "edit" });
  #text = h("div", { class: "spoken", "aria-live": "polite" });
  #editor = null;

  constructor(consultation) {
    this.#consultation = consultation;
    this.#id = consultation.transcript?._id;
    this.#saved = consultation.transcript?.transcript_text ?? "";
    const said = h("div", {}, this.#state, this.#clock);
    const bar = h("div", { class: "recorder" }, this.#button, said, this.#meter.element);
    const head = h("div", { class: "card-head" }, h("h2", { id: "transcript" }, "Transcript"), this.#edit);
    this.element = h("section", { class: "card", "aria-labelledby": "transcript" }, head, bar, this.#text);
    this.#show("idle");
    this.#write(this.#saved);
  }

  /** Ends a recording and a correction that are under way, and returns once the text is saved. */
  async settle() {
    if (this.#recorder.state === "connecting") this.#recorder.abandon();
    this.#recorder.stop();
    await this.#settled;
    if (this.#editor) await this.#correct(this.#editor.querySelector("textarea").value);
  }

  /** The page goes: what was heard so far is saved. */
  leave() {
    clearInterval(this.#timer);
    this.#meter.stop();
    if (this.#recorder.state === "idle") return;
    this.#recorder.abandon();
    if (this.#heard) api.saveTranscript(this.#id, this.#whole()).catch(complain);
  }

  #toggle() {
    if (this.#recorder.state === "connecting") {
      this.#recorder.abandon();
      this.#show("idle");
    } else if (this.#recorder.state === "recording") this.#recorder.stop();
    else if (this.#recorder.state === "idle") this.#record();
  }

  #record() {
    this.#before = this.#saved;
    this.#heard = "";
    this.#settled = new Promise((resolve) => (this.#settle = resolve));
    this.#recorder.start(this.#consultation._id);
  }

  #show(state) {
    const { label, said } = STATES[state];
    this.element.dataset.state = state;
    this.#button.replaceChildren(icon(state === "idle" ? "microphone" : "stop"), h("span", { class: "unseen" }, label));
    this.#button.disabled = state === "finishing";
    this.#edit.disabled = state !== "idle";
    this.#state.textContent = said || (this.#saved ? "Record more" : "Press to record");
    if (state === "recording") this.#run();
    if (state === "finishing" || state === "idle") this.#rest();
    if (state === "idle") this.#keep();
  }

  #run() {
    this.#began = Date.now();
    const tick = () => (this.#clock.textContent = sayDuration(Date.now() - this.#began));
    tick();
    this.#timer = setInterval(tick, 250);
    this.#meter.start();
  }

  #rest() {
    clearInterval(this.#timer);
    this.#clock.textContent = "";
    this.#meter.stop();
  }

  #hear(text) {
    this.#heard = text || this.#heard;
    this.#write(this.#whole());
  }

  #whole() {
    return [this.#before, this.#heard].filter(Boolean).join("\n\n");
  }

  /** Saves what was heard, once a recording is over. */
  async #keep() {
    const settle = this.#settle ?? (() => {});
    this.#settle = null;
    if (this.#heard) await this.#save(this.#whole()).catch(complain);
    this.#heard = "";
    settle();
  }

  async #save(text) {
    await api.saveTranscript(this.#id, text);
    this.#saved = text;
    this.#state.textContent = "Saved";
  }

  /** Text that only grew is added to, so that only what is new is read out. */
  #write(text) {
    const shown = this.#text.textContent;
    if (!text) {
      this.#text.replaceChildren(h("p", { class: "muted" }, "What is said will stand here while you talk."));
    } else if (this.#text.querySelector("p") || !text.startsWith(shown)) {
      this.#text.replaceChildren(h("span", {}, text));
    } else if (text !== shown) {
      this.#text.append(h("span", { class: "fresh" }, text.slice(shown.length)));
    }
  }

  #openEditor() {
    const area = h("textarea", { name: "text", rows: 8, required: true }, this.#saved);
    const editor = form(({ text }) => this.#correct(text), "Save", field("Correct the transcript", area));
    editor.querySelector(".actions").prepend(textButton("Cancel", () => this.#closeEditor()));
    this.#editor = editor;
    this.#edit.hidden = this.#text.hidden = true;
    this.#button.disabled = true;
    this.element.append(editor);
    area.focus();
  }

  async #correct(text) {
    const corrected = text.trim();
    if (corrected && corrected !== this.#saved) await this.#save(corrected);
    this.#write(this.#saved);
    this.#closeEditor();
  }

  #closeEditor() {
    this.#editor?.remove();
    this.#editor = null;
    this.#edit.hidden = this.#text.hidden = false;
    this.#button.disabled = false;
    this.#edit.focus();
  }
}
