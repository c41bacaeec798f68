/** The page. The login decides between two screens; the address after # selects the page within. */

import { REFUSED } from "./api.js";
import { h } from "./dom.js";
import { frame } from "./frame.js";
import { consultationPage } from "./pages/consultation.js";
import { consultationsPage } from "./pages/consultations.js";
import { entrancePage } from "./pages/entrance.js";
import { promptsPage } from "./pages/prompts.js";
import { researchPage } from "./pages/research.js";
import * as session from "./session.js";
import { applyTheme } from "./theme.js";

const ROUTES = [
  [/^#\/consultations\/([0-9a-f]{24})$/, consultationPage],
  [/^#\/prompts$/, promptsPage],
  [/^#\/research$/, researchPage],
  [/^/, consultationsPage],
];

const app = document.getElementById("app");
let shell = null;

function show() {
  leave();
  if (session.token()) showInside();
  else showEntrance();
}

function showEntrance(notice = "") {
  shell = null;
  document.title = "Log in · Scribe";
  app.replaceChildren(entrancePage(show, notice));
}

function showInside() {
  const [pattern, page] = ROUTES.find(([known]) => known.test(location.hash));
  const { title, element } = page(...(pattern.exec(location.hash)?.slice(1) ?? []));
  document.title = `${title} · Scribe`;
  const first = shell === null;
  if (first) {
    shell = frame(logOut);
    app.replaceChildren(shell.element);
  }
  shell.show(element, { focus: !first });
}

/** Notifies the parts of a page, such as a recording, that the page is left. */
function leave() {
  app.querySelector("main > *")?.dispatchEvent(new Event("leave"));
}

function logOut() {
  session.end();
  location.hash = "";
  show();
}

document.addEventListener(REFUSED, () => {
  if (!session.token()) return; // several requests may be refused at once
  leave();
  session.end();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  showEntrance("Your session has ended. Please log in again.");
});
addEventListener("hashchange", () => session.token() && show());

applyTheme();
const skip = () => app.querySelector("h1")?.focus();
document.body.prepend(h("button", { type: "button", class: "skip", onclick: skip }, "Skip to content"));
show();
