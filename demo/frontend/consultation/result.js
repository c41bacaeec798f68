/** The result of a consultation: the summary, and the terms that may be coded. */

import * as api from "../api.js";
import { h, textButton } from "../dom.js";
import { attempt, say } from "../parts.js";
import { prose } from "../prose.js";

export function summaryCard(summary) {
  const text = typeof summary === "string" ? summary.trim() : "";
  const copy = textButton("Copy", () => copyText(text), { look: "small", drawing: "copy" });
  return h(
    "section",
    { class: "card summary", "aria-labelledby": "summary" },
    h("div", { class: "card-head" }, h("h2", { id: "summary", tabindex: -1 }, "Summary"), text && copy),
    text ? prose(text) : h("p", { class: "muted" }, "No summary was written."),
  );
}

/** `highlights` come once, at the end of the consultation; the service does not store them. */
export function codesCard(highlights) {
  const heading = h("h2", { id: "codes" }, "Clinical codes");
  return h("section", { class: "card", "aria-labelledby": "codes" }, heading, codes(highlights));
}

function codes(highlights) {
  if (highlights?.length) return h("ul", { class: "codes" }, highlights.map(code));
  const words = highlights ? "No terms to code were found." : "Suggestions are made once, when a consultation ends.";
  return h("p", { class: "muted" }, words, " ", h("a", { href: "#/research" }, "Look up a code"));
}

function code({ term, possible_snomed: suggested }) {
  const found = h("p", { class: "found", role: "status" });
  const button = textButton("Verify", look, { look: "small", "aria-label": `Verify the code of ${term}` });
  function look() {
    attempt(async () => showCode(found, await api.findCode(term)), { button, problem: found });
  }
  return h("li", {}, h("div", { class: "code" }, h("span", {}, term), h("code", {}, suggested ?? "–"), button), found);
}

export function showCode(place, { name, code }) {
  place.replaceChildren("NHS: ", name, " ", h("code", {}, code));
  place.hidden = false;
}

async function copyText(text) {
  await navigator.clipboard.writeText(text);
  say("The summary is copied.");
}
