/** The button, the clock and the meter of a recording. */

import * as api from "../api.js";
import config from "../config.js";
import { h, icon } from "../dom.js";
import { say } from "../parts.js";
import { Recorder } from "../recorder.js";
import { sayDuration } from "../words.js";
import { Meter } from "./meter.js";

const STATES = {
  idle: { label: "Record", drawing: "microphone" },
  connecting: { label: "Cancel", drawing: "stop", said: "Connecting…" },
  recording: { label: "Stop", drawing: "stop", said: "Listening" },
  finishing: { label: "Stop", drawing: "stop", said: "Transcribing the rest…" },
};

export class Controls {
  element;
  #consultationId;
  #onstate;
  #recorder;
  #meter = new Meter(() => this.#recorder.level());
  #button = h("button", { type: "button", class: "record", onclick: () => this.#toggle() });
  #said = h("p", { class: "recorder-state", role: "status" });
  #clock = h("span", { class: "clock" });
  #timer = 0;
  #ended = () => {};

  /** `onstate` and `ontext` are the recorder's. */
  constructor(consultationId, { onstate, ontext }) {
    this.#consultationId = consultationId;
    this.#onstate = onstate;
    const ontrouble = (words) => say(words, "bad");
    const follow = (state) => this.#follow(state);
    this.#recorder = new Recorder(api.streamUrl, config.chunkMs, { onstate: follow, ontext, ontrouble });
    const words = h("div", {}, this.#said, this.#clock);
    this.element = h("div", { class: "recorder" }, this.#button, words, this.#meter.element);
    this.#show("idle");
  }

  /** The text beside the button, until the next event. */
  say(words) {
    this.#said.textContent = words;
  }

  /** Disables recording while a correction is written. */
  set disabled(disabled) {
    this.#button.disabled = disabled;
  }

  /** Ends a recording, and returns when its final text has arrived. */
  async end() {
    if (this.#recorder.state === "connecting") this.#cancel();
    if (this.#recorder.state === "idle") return;
    const ended = new Promise((resolve) => (this.#ended = resolve));
    this.#recorder.stop();
    await ended;
  }

  /** Ends at once, without waiting for the final text. */
  abandon() {
    this.#recorder.abandon();
    this.#show("idle");
  }

  #toggle() {
    if (this.#recorder.state === "idle") this.#recorder.start(this.#consultationId);
    else if (this.#recorder.state === "connecting") this.#cancel();
    else this.#recorder.stop();
  }

  #cancel() {
    this.#recorder.abandon();
    this.#follow("idle");
  }

  #follow(state) {
    this.#show(state);
    this.#onstate(state);
    if (state === "idle") this.#ended();
  }

  #show(state) {
    const { label, drawing, said } = STATES[state];
    this.element.dataset.state = state;
    this.#button.replaceChildren(icon(drawing), h("span", { class: "unseen" }, label));
    this.#button.disabled = state === "finishing";
    if (said) this.say(said);
    if (state === "recording") this.#run();
    if (state === "finishing" || state === "idle") this.#rest();
    globalThis.onbeforeunload = state === "idle" ? null : (event) => event.preventDefault();
  }

  #run() {
    const began = Date.now();
    const tick = () => (this.#clock.textContent = sayDuration(Date.now() - began));
    tick();
    this.#timer = setInterval(tick, 250);
    this.#meter.start();
  }

  #rest() {
    clearInterval(this.#timer);
    this.#clock.textContent = "";
    this.#meter.stop();
  }
}
