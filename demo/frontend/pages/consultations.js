/** All consultations of the clinician, newest first, and a form to start one. */

import * as api from "../api.js";
import { h, icon, textButton } from "../dom.js";
import { title } from "../frame.js";
import { field, form, line, loaded, openDialog } from "../parts.js";
import { describePatient, namePatient, sayCount, sayMoment, shorten } from "../words.js";

export function consultationsPage() {
  const element = h(
    "div",
    { class: "page" },
    h(
      "div",
      { class: "page-head" },
      title("Consultations"),
      textButton("New consultation", openStart, { look: "primary", drawing: "plus" }),
    ),
    loaded(api.listConsultations, list, 4),
  );
  return { title: "Consultations", element };
}

function list(consultations) {
  if (consultations.length === 0) return nothing();
  return h("ul", { class: "rows" }, consultations.map(row));
}

function nothing() {
  return h(
    "div",
    { class: "nothing" },
    icon("microphone"),
    h("h2", {}, "No consultations yet"),
    h("p", { class: "muted" }, "Start one, and Scribe transcribes it."),
  );
}

function row(consultation) {
  const active = consultation.status === "active";
  const transcript = consultation.transcript;
  const words = transcript?.summary || transcript?.transcript_text || describePatient(consultation.patient);
  const started = new Date(consultation.started_at);
  return h(
    "li",
    {},
    h(
      "a",
      { class: "row", href: `#/consultations/${consultation._id}` },
      h("span", { class: "row-head" }, h("strong", {}, namePatient(consultation.patient)), status(active)),
      h("span", { class: "row-words" }, words ? shorten(String(words)) : "No transcript yet"),
      h(
        "span",
        { class: "row-facts" },
        h("time", { datetime: consultation.started_at }, sayMoment(started)),
        consultation.notes.length > 0 && h("span", {}, sayCount(consultation.notes.length, "note")),
      ),
    ),
  );
}

export function status(active) {
  return h("span", { class: `pill ${active ? "live" : ""}` }, active ? "Under way" : "Ended");
}

function openStart() {
  openDialog("New consultation", (close) => {
    const start = async ({ name, born, reason }) => {
      const patient = { name: name.trim(), ...(born && { born }), ...(reason.trim() && { reason: reason.trim() }) };
      const consultation = await api.startConsultation(patient);
      close();
      location.hash = `#/consultations/${consultation._id}`;
    };
    return form(
      start,
      "Start consultation",
      field("Patient's name", line({ name: "name", autofocus: true })),
      field("Date of birth (optional)", line({ name: "born", type: "date", required: false })),
      field("Reason for the visit (optional)", line({ name: "reason", required: false })),
    );
  });
}
