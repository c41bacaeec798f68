/** One consultation: its transcript, its notes, and its result. */

import * as api from "../api.js";
import { codesCard, summaryCard } from "../consultation/result.js";
import { endingCard } from "../consultation/ending.js";
import { notesCard } from "../consultation/notes.js";
import { Transcript } from "../consultation/transcript.js";
import { h, icon } from "../dom.js";
import { title } from "../frame.js";
import { loaded } from "../parts.js";
import { describePatient, namePatient, sayMoment } from "../words.js";
import { status } from "./consultations.js";

export function consultationPage(id) {
  const element = h("div", { class: "page" });
  const back = h("a", { class: "back", href: "#/" }, icon("back"), "Consultations");
  const content = loaded(
    () => api.readConsultation(id),
    (consultation) => (consultation.status === "active" ? underWay(consultation, element) : ended(consultation)),
  );
  element.append(back, content);
  return { title: "Consultation", element };
}

function underWay(consultation, page) {
  const transcript = new Transcript(consultation);
  page.addEventListener("leave", () => transcript.leave(), { once: true });
  const ending = endingCard(consultation, () => transcript.settle(), onended);
  const aside = h("div", {}, notesCard(consultation), ending);
  const columns = h("div", { class: "columns" }, h("div", {}, transcript.element), aside);
  const content = h("div", {}, head(consultation), columns);
  function onended(answer) {
    content.replaceWith(ended({ ...consultation, status: "ended", transcript: answer.transcript }, answer));
    document.querySelector("#summary")?.focus();
  }
  return content;
}

/** `answer` is the answer to the end of the consultation; no other answer has the codes. */
function ended(consultation, answer = null) {
  const { transcript } = consultation;
  return h(
    "div",
    {},
    head(consultation),
    h(
      "div",
      { class: "columns" },
      h("div", {}, summaryCard(answer?.summary ?? transcript?.summary), spoken(transcript?.transcript_text)),
      h("div", {}, codesCard(answer?.highlights), notesCard(consultation)),
    ),
  );
}

function head(consultation) {
  const name = namePatient(consultation.patient);
  document.title = `${name} · Scribe`;
  const about = describePatient(consultation.patient);
  return h(
    "div",
    { class: "page-head" },
    h(
      "div",
      {},
      title(name),
      h(
        "p",
        { class: "facts" },
        status(consultation.status === "active"),
        h("time", { datetime: consultation.started_at }, sayMoment(new Date(consultation.started_at))),
        about && h("span", {}, about),
      ),
    ),
  );
}

function spoken(text) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "spoken" },
    h("h2", { id: "spoken" }, "Transcript"),
    h("p", { class: text ? "spoken" : "muted" }, text || "Nothing was recorded."),
  );
}
