/** Login and registration, which logs in as well. */

import * as api from "../api.js";
import { h } from "../dom.js";
import { brandMark } from "../frame.js";
import { field, form, line } from "../parts.js";
import * as session from "../session.js";

/** `enter()` is called when a session has begun; `notice` gives the reason for a repeated login. */
export function entrancePage(enter, notice) {
  const forms = { "Log in": () => loginForm(enter), Register: () => registerForm(enter) };
  return h(
    "main",
    { class: "entrance" },
    picture(),
    h(
      "section",
      { class: "entrance-form" },
      h("h1", { tabindex: -1, class: "brand" }, brandMark(), "Scribe"),
      notice && h("p", { class: "notice", role: "alert" }, notice),
      tabbed("Log in or register", forms),
    ),
  );
}

/** Tabs with their panels. The arrow keys move between them, as users of screen readers expect. */
function tabbed(label, contents) {
  const panel = h("div", { id: "tab-panel", role: "tabpanel" });
  const tabs = Object.entries(contents).map(([name, content]) => {
    const choose = () => select(tab, content);
    const listeners = { onclick: choose, onfocus: choose };
    const tab = h("button", { type: "button", role: "tab", "aria-controls": panel.id, ...listeners }, name);
    return tab;
  });
  function select(chosen, content) {
    if (chosen.ariaSelected === "true") return;
    for (const tab of tabs) {
      tab.ariaSelected = String(tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    panel.ariaLabel = chosen.textContent;
    panel.replaceChildren(content());
  }
  function onkeydown({ key }) {
    if (key === "ArrowRight" || key === "ArrowLeft") tabs.find((tab) => tab.ariaSelected !== "true").focus();
  }
  tabs[0].click();
  return [h("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown }, tabs), panel];
}

function loginForm(enter) {
  return form(
    async ({ email, password }) => enterWith(await api.login(email.trim(), password), enter),
    "Log in",
    emailField(),
    field("Password", line({ name: "password", type: "password", autocomplete: "current-password" })),
  );
}

function registerForm(enter) {
  const taken = h("p", { class: "hint", role: "status" });
  const role = h(
    "select",
    { name: "role" },
    h("option", { value: "clinician" }, "Clinician"),
    h("option", { value: "patient" }, "Patient"),
  );
  const password = line({ name: "password", type: "password", minlength: 8, autocomplete: "new-password" });
  return form(
    (person) => register(person, enter),
    "Create account",
    field("Name", line({ name: "username", autocomplete: "name" })),
    emailField({ onchange: (event) => tellWhetherFree(event.target, taken) }),
    taken,
    field("Password", password, "Eight characters or more."),
    field("I am a", role),
  );
}

async function register(person, enter) {
  const email = person.email.trim();
  await api.register({ ...person, username: person.username.trim(), email });
  await enterWith(await api.login(email, person.password), enter);
}

function enterWith(token, enter) {
  session.begin(token);
  enter();
}

async function tellWhetherFree(control, place) {
  place.textContent = "";
  if (!control.validity.valid) return;
  const free = await api.isFree(control.value.trim()).catch(() => true);
  place.textContent = free ? "" : "This address already has an account.";
}

function emailField(listeners = {}) {
  return field("Email", line({ name: "email", type: "email", autocomplete: "username", ...listeners }));
}

function picture() {
  const heights = [14, 26, 44, 70, 52, 88, 62, 100, 78, 54, 84, 48, 66, 36, 24, 40, 20, 12];
  return h(
    "section",
    { class: "entrance-picture", "aria-hidden": "true" },
    h("div", { class: "wave" }, heights.map(bar)),
    h("p", {}, "Look at your patient, not at the screen."),
    h("small", {}, "Scribe transcribes the consultation, and has the summary ready when you finish."),
  );
}

function bar(height, place) {
  const element = h("i");
  element.style.setProperty("--height", `${height}%`);
  element.style.setProperty("--place", place);
  return element;
}
