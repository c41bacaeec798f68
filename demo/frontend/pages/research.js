/** Questions to the medical research assistant, and codes by name. */

import * as api from "../api.js";
import { showCode } from "../consultation/result.js";
import { h } from "../dom.js";
import { title } from "../frame.js";
import { field, form, line } from "../parts.js";
import { prose } from "../prose.js";

export function researchPage() {
  const element = h(
    "div",
    { class: "page" },
    h("div", { class: "page-head" }, title("Research")),
    h("div", { class: "columns" }, h("div", {}, questions()), h("div", {}, codes())),
  );
  return { title: "Research", element };
}

function questions() {
  const answers = h("div", { class: "answers", "aria-live": "polite" });
  const example = "First-line treatment of migraine in pregnancy?";
  const area = h("textarea", { name: "query", rows: 3, required: true, placeholder: example });
  const ask = async ({ query }, asked) => {
    const question = query.trim();
    const answer = await api.search(question);
    answers.prepend(h("article", { class: "card answer" }, h("h3", { class: "question" }, question), prose(answer)));
    asked.reset();
  };
  const card = h(
    "section",
    { class: "card", "aria-labelledby": "questions" },
    h("h2", { id: "questions" }, "Medical search"),
    h("p", { class: "muted" }, "General information, not a diagnosis. Do not enter anything that identifies a patient."),
    form(ask, "Ask", field("Your question", area)),
  );
  return [card, answers];
}

function codes() {
  const found = h("p", { class: "found", role: "status" });
  const look = async ({ term }) => {
    found.textContent = "";
    showCode(found, await api.findCode(term.trim()));
  };
  return h(
    "section",
    { class: "card", "aria-labelledby": "lookup" },
    h("h2", { id: "lookup" }, "Clinical codes"),
    h("p", { class: "muted" }, "SNOMED CT, from the NHS terminology server."),
    form(look, "Look up", field("Term", line({ name: "term", placeholder: "asthma" }))),
    found,
  );
}
