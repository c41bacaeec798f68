/** The end of a consultation: the choice of a prompt for the summary, and the wait for it. */

import * as api from "../api.js";
import { h, textButton } from "../dom.js";
import { attempt, complain, field, loaded } from "../parts.js";
import { openPromptForm } from "../pages/prompts.js";
import * as session from "../session.js";
import { sayDuration, shorten } from "../words.js";

const LONG_MS = 15_000;

/** `settle()` saves unsaved text before the end; `onended` gets the service's answer. */
export function endingCard(consultation, settle, onended) {
  const card = h("section", { class: "card ending", "aria-labelledby": "ending" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const choice = new PromptChoice(consultation);
  const button = textButton("End and summarise", end, { look: "primary wide" });
  async function finish() {
    await settle();
    onended(await api.endConsultation(consultation._id, choice.id));
  }
  async function end() {
    if (!choice.id) return choice.ask();
    const wait = waiting();
    card.append(wait.element);
    card.dataset.waiting = true;
    await attempt(finish, { button, problem });
    wait.stop();
    delete card.dataset.waiting;
  }
  card.append(h("h2", { id: "ending" }, "Summary"), choice.element, problem, button);
  return card;
}

/** Shows the elapsed time, because the remaining time is unknown. */
function waiting() {
  const said = h("p", { role: "status" }, "Writing the summary and looking for codes…");
  const clock = h("span", { class: "clock" }, sayDuration(0));
  const bar = h("progress", { "aria-label": "Ending the consultation" });
  const element = h("div", { class: "waiting" }, h("div", { class: "waiting-words" }, said, clock), bar);
  const began = Date.now();
  const timer = setInterval(() => {
    const passed = Date.now() - began;
    clock.textContent = sayDuration(passed);
    if (passed > LONG_MS) said.textContent = "Still working: a long consultation takes longer…";
  }, 250);
  const stop = () => {
    clearInterval(timer);
    element.remove();
  };
  return { element, stop };
}

class PromptChoice {
  element;
  #prompts = [];
  #consultation;
  #select = h("select", { onchange: () => this.#choose() });
  #about = h("p", { class: "hint" });
  #problem = h("p", { class: "problem", role: "alert", hidden: true });

  constructor(consultation) {
    this.#consultation = consultation;
    const create = textButton("New prompt", () => this.#create(), { look: "small", drawing: "plus" });
    const show = (prompts) => {
      this.#prompts = prompts;
      this.#fill(consultation.transcript?.prompt_used?._id ?? "");
      return [field("Prompt", this.#select), this.#about, this.#problem, create];
    };
    this.element = h("div", { class: "choice" }, loaded(api.listPrompts, show, 1));
  }

  /** The chosen prompt's id, empty where none is chosen. */
  get id() {
    return this.#select.value;
  }

  ask() {
    this.#problem.textContent = "Choose a prompt first, or write one: it describes the form of the summary.";
    this.#problem.hidden = false;
    this.#select.focus();
  }

  #fill(chosen) {
    const [own, shared] = [this.#own(true), this.#own(false)];
    const nothing = h("option", { value: "" }, this.#prompts.length ? "Choose a prompt" : "No prompts yet");
    this.#select.replaceChildren(nothing, ...group("Yours", own), ...group("Shared with you", shared));
    this.#select.value = chosen;
    this.#explain();
  }

  #own(mine) {
    return this.#prompts.filter((prompt) => (prompt.clinician === session.userId()) === mine);
  }

  #explain() {
    const prompt = this.#prompts.find(({ _id }) => _id === this.id);
    this.#about.textContent = prompt ? shorten(prompt.prompt_text, 180) : "It describes the form of the summary.";
  }

  /** The service links only the user's own prompts to a transcript; a shared one is sent with the end. */
  #choose() {
    this.#explain();
    this.#problem.hidden = true;
    if (!this.#own(true).some(({ _id }) => _id === this.id)) return;
    const tied = api.tiePrompt(this.id, this.#consultation.transcript._id);
    tied.catch((error) => complain(error, this.#problem));
  }

  #create() {
    openPromptForm("New prompt", {}, async (values) => {
      const prompt = await api.createPrompt(values);
      this.#prompts = [prompt, ...this.#prompts];
      this.#fill(prompt._id);
      this.#choose();
    });
  }
}

function group(label, prompts) {
  const options = prompts.map((prompt) => h("option", { value: prompt._id }, prompt.prompt_name));
  return options.length ? [h("optgroup", { label }, options)] : [];
}
