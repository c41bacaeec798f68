/** Parts of several pages: forms, areas that load, dialogs, and short messages. */

import { REFUSED } from "./api.js";
import { h, icon, iconButton, textButton } from "./dom.js";

const MESSAGE_MS = 5_000;

/** A label with its control below, and an optional hint. */
export function field(label, control, hint = null) {
  control.id ||= `field-${crypto.randomUUID()}`;
  if (hint) {
    hint = h("small", { id: `${control.id}-hint`, class: "hint" }, hint);
    control.setAttribute("aria-describedby", hint.id);
  }
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint);
}

/** A required line of text; spaces alone do not count. */
export function line(attributes) {
  return h("input", { required: true, pattern: ".*\\S.*", autocomplete: "off", ...attributes });
}

/** A form whose button is busy while `submit(values, form)` runs; a failure is shown above the button. */
export function form(submit, label, ...fields) {
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const button = h("button", { class: "button primary" }, label);
  const onsubmit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    attempt(() => submit(values, event.target), { button, problem });
  };
  return h("form", { class: "form", onsubmit }, fields, problem, h("div", { class: "actions" }, button));
}

/** Runs `work` while its button shows that it is busy; a failure is shown in `problem`, or as a message. */
export async function attempt(work, { button, problem }) {
  if (button?.ariaBusy === "true") return;
  if (button) button.ariaBusy = "true";
  if (problem) problem.hidden = true;
  try {
    await work();
  } catch (error) {
    complain(error, problem);
  } finally {
    if (button) button.ariaBusy = "false";
  }
}

/** Shows a failure in its place; a refused token leads to the login, which shows the reason. */
export function complain(error, place) {
  if (error.kind === REFUSED) return;
  if (!error.kind) console.error(error);
  const text = error.kind ? error.message : "Something went wrong on this page. Please try again.";
  if (!place) return say(text, "bad");
  place.textContent = text;
  place.hidden = false;
}

/** An area that shows outlines, then `show(await load())`, or the failure and a button to retry. */
export function loaded(load, show, outlines = 3) {
  const place = h("div", { class: "loaded" });
  async function fill() {
    place.ariaBusy = "true";
    place.replaceChildren(...outline(outlines));
    try {
      place.replaceChildren(...[show(await load())].flat());
    } catch (error) {
      place.replaceChildren(failure(error, fill));
    } finally {
      place.ariaBusy = "false";
    }
  }
  fill();
  return place;
}

function outline(count) {
  const lines = Array.from({ length: count }, () => h("div", { class: "outline", "aria-hidden": "true" }));
  return [h("span", { class: "unseen" }, "Loading"), ...lines];
}

function failure(error, retry) {
  const text = h("p", {});
  complain(error, text);
  return h("div", { class: "failure", role: "alert" }, icon("warning"), text, textButton("Try again", retry));
}

/** A short message at the edge of the screen that disappears by itself; `kind` is `good` or `bad`. */
export function say(text, kind = "good") {
  const message = h("p", { class: `message ${kind}` }, icon(kind === "good" ? "check" : "warning"), text);
  document.getElementById("messages").replaceChildren(message);
  setTimeout(() => message.remove(), MESSAGE_MS);
}

/** A dialog over the page; `fill(close)` returns its content. Closing it removes it and restores the focus. */
export function openDialog(title, fill) {
  const before = document.activeElement;
  const heading = h("h2", { id: "dialog-title" }, title);
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": heading.id });
  const close = () => dialog.close();
  const head = h("div", { class: "card-head" }, heading, iconButton("close", "Close", close));
  dialog.append(head, ...[fill(close)].flat());
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
}

/** Asks for confirmation of an action that cannot be undone; `work` is that action. */
export function confirm(question, explanation, yes, work) {
  openDialog(question, (close) => {
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const agree = () => attempt(() => work().then(close), { button, problem });
    const button = textButton(yes, agree, { look: "danger" });
    const keep = textButton("Cancel", close, { autofocus: true });
    return [h("p", { class: "muted" }, explanation), problem, h("div", { class: "actions" }, keep, button)];
  });
}
