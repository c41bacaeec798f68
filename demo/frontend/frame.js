/** The frame of every page after the login: the navigation and the user. */

import * as api from "./api.js";
import { h, icon, iconButton } from "./dom.js";
import { complain } from "./parts.js";
import { switchTheme } from "./theme.js";
import { initials } from "./words.js";

const PLACES = [
  ["#/", "Consultations", "list"],
  ["#/prompts", "Prompts", "prompt"],
  ["#/research", "Research", "search"],
];

/** Returns `element`, and `show(page, {focus})`, which shows a page in it. */
export function frame(logOut) {
  const main = h("main", { class: "main" });
  const links = PLACES.map(([address, name, drawing]) => h("a", { href: address }, icon(drawing), h("span", {}, name)));
  const element = h(
    "div",
    { class: "frame" },
    h(
      "header",
      { class: "side" },
      h("a", { class: "brand", href: "#/" }, brandMark(), "Scribe"),
      h("nav", { "aria-label": "Main" }, links),
      account(logOut),
    ),
    main,
  );
  function show(page, { focus }) {
    links.forEach((link) => mark(link));
    main.replaceChildren(page);
    scrollTo(0, 0);
    if (focus) page.querySelector("h1")?.focus({ preventScroll: true });
  }
  return { element, show };
}

export function brandMark() {
  return h("img", { src: "/mark.svg", alt: "", width: 28, height: 28 });
}

/** The heading of a page, which takes the focus when the page appears. */
export function title(text) {
  return h("h1", { tabindex: -1 }, text);
}

function mark(link) {
  const here = location.hash || "#/";
  const address = link.getAttribute("href");
  const current = address === "#/" ? here === "#/" || here.startsWith("#/consultations") : here === address;
  if (current) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}

function account(logOut) {
  const avatar = h("span", { class: "avatar", "aria-hidden": "true" });
  const name = h("span", { class: "account-name" });
  const role = h("span", { class: "account-role" });
  const leave = iconButton("leave", "Log out", () => end(leave, logOut));
  api.profile().then((person) => {
    avatar.textContent = initials(person.name);
    name.textContent = person.name;
    role.textContent = person.role;
  }, complain);
  const theme = iconButton("moon", "Light or dark", switchTheme);
  return h("div", { class: "account" }, avatar, h("span", { class: "account-words" }, name, role), theme, leave);
}

/** Removes the token, even if the service cannot be reached. */
async function end(button, logOut) {
  button.ariaBusy = "true";
  await api.logout().catch(() => null);
  logOut();
}
