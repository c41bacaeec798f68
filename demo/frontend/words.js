/** Dates, durations and names as text for people. */

const DAY_MS = 24 * 3600 * 1000;
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** "Today, 10:42", "Yesterday, 10:42", "3 Nov 2026, 10:42". */
export function sayMoment(date, now = new Date()) {
  const days = Math.round((startOfDay(now) - startOfDay(date)) / DAY_MS);
  const day = days === 0 ? "Today" : days === 1 ? "Yesterday" : DATE.format(date);
  return `${day}, ${TIME.format(date)}`;
}

/** Minutes and seconds: "0:07". */
export function sayDuration(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** "1 note", "2 notes". */
export function sayCount(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** The patient's name, for any value of a consultation's `patient`. */
export function namePatient(patient) {
  const name = typeof patient === "string" ? patient : patient?.name;
  return typeof name === "string" && name.trim() ? name.trim() : "Unnamed patient";
}

/** Other data of a patient, as one line; empty if there is none. */
export function describePatient(patient) {
  if (patient === null || typeof patient !== "object") return "";
  const born = patient.born ? `Born ${DATE.format(new Date(patient.born))}` : "";
  return [born, patient.reason].filter(Boolean).join(" · ");
}

/** At most two letters for an avatar. */
export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0][0], words.at(-1)[0]] : [words[0]?.[0] ?? "?"];
  return letters.join("").toUpperCase();
}

/** The first words of a long text. */
export function shorten(text, limit = 140) {
  const flat = text.replace(/\s+/g, " ").trim();
  return flat.length <= limit ? flat : `${flat.slice(0, limit - 1).trimEnd()}…`;
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
