/**
 * The Scribe API: an address, JSON, and a bearer token.
 *
 * Every error is a Failure with a message for the user. A 401 to any request with a token ends the session.
 */

import config from "./config.js";
import * as session from "./session.js";

const PATIENCE_MS = 20_000;
const LONG_WORK_MS = 120_000;

export const REFUSED = "refused";

/** `kind` is `offline`, `unreachable`, `silent` (no answer in time), `refused` (log in again) or `answered`. */
export class Failure extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** The URL to which recordings are sent. */
export const streamUrl = `${config.api.replace(/^http/, "ws")}/transcription-stream`;

export const isFree = async (email) => (await ask("GET", "/users/users/checkEmail", { query: { email } })).available;
export const register = (person) => ask("POST", "/users/register", { body: person, open: true });
export const profile = async () => (await ask("GET", "/users/profile")).data;
export const logout = () => ask("POST", "/users/logout", { patience: 5_000 });

/** Returns the token, or throws a Failure. The service may not answer a wrong password at all. */
export async function login(email, password) {
  try {
    const answer = await ask("POST", "/users/login", { body: { email, password }, open: true, patience: 8_000 });
    if (answer.token) return answer.token;
  } catch (failure) {
    if (failure.kind !== "silent") throw failure;
  }
  throw new Failure("answered", "The email or password is incorrect.");
}

export const listConsultations = async () => (await ask("GET", "/api/consultation")).consultations;
export const readConsultation = async (id) => (await ask("GET", `/api/consultation/${id}`)).consultation;
export const startConsultation = async (patient) =>
  (await ask("POST", "/api/consultation/start", { body: { patient_data: patient } })).data.consultation;
export const endConsultation = (id, promptId) =>
  ask("POST", `/api/consultation/${id}/end`, { body: { prompt_used: promptId }, patience: LONG_WORK_MS });
export const saveTranscript = (id, text) =>
  ask("POST", "/api/transcript/update-text", { body: { transcript_id: id, transcript_text: text } });

export const listNotes = async (consultationId) => (await ask("GET", `/api/notes/${consultationId}`)).notes;
export const addNote = async (consultationId, transcriptId, text) =>
  (await ask("POST", `/api/notes/${consultationId}`, { body: { body: text, transcriptId } })).note;
export const changeNote = async (id, text) => (await ask("PATCH", `/api/notes/${id}`, { body: { body: text } })).note;
export const deleteNote = (id) => ask("DELETE", `/api/notes/${id}`);

export const listPrompts = async () => (await ask("GET", "/api/prompts")).prompts;
export const createPrompt = async (prompt) => (await ask("POST", "/api/prompts", { body: prompt })).data;
export const changePrompt = async (id, prompt) => (await ask("PATCH", `/api/prompts/${id}`, { body: prompt })).data;
export const deletePrompt = (id) => ask("DELETE", `/api/prompts/${id}`);
export const tiePrompt = (id, transcriptId) => ask("PATCH", `/api/prompts/${id}/add-prompt/${transcriptId}`);

export const search = async (query) =>
  (await ask("POST", "/api/ai/search", { query: { query }, patience: LONG_WORK_MS })).answer;

/** Returns `{name, code, url}`. The service may not answer at all if it finds nothing. */
export async function findCode(name) {
  try {
    return await ask("GET", "/api/ai/search/clinicalcodes", { query: { name }, patience: 10_000 });
  } catch (failure) {
    if (failure.kind !== "silent") throw failure;
    throw new Failure("answered", "No clinical codes found");
  }
}

/** Sends a request, without a token if `open`; returns the answer's JSON. */
async function ask(method, path, { query, body, open = false, patience = PATIENCE_MS } = {}) {
  const { answer, content } = await send(`${config.api}${path}${query ? `?${new URLSearchParams(query)}` : ""}`, {
    method,
    headers: headers(open, body),
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(patience),
  });
  if (answer.ok && !content?.err) return content;
  if (answer.status === 401 && !open) throw refuse();
  throw new Failure("answered", complaint(content) ?? `The service answered ${answer.status}. Please try again.`);
}

function headers(open, body) {
  const token = !open && session.token();
  return {
    ...(body && { "Content-Type": "application/json" }),
    ...(token && { Authorization: `Bearer ${token}` }),
  };
}

async function send(url, request) {
  try {
    const answer = await fetch(url, request);
    const isJson = answer.headers.get("content-type")?.includes("json");
    return { answer, content: isJson ? await answer.json() : null };
  } catch (error) {
    throw explain(error);
  }
}

function explain(error) {
  if (error.name === "TimeoutError") return new Failure("silent", "No answer came in time. Please try again.");
  if (!navigator.onLine) return new Failure("offline", "You are offline. Please try again when you are online.");
  return new Failure("unreachable", "The service cannot be reached at the moment. Please try again.");
}

function refuse() {
  document.dispatchEvent(new Event(REFUSED));
  return new Failure(REFUSED, "Your session has ended. Please log in again.");
}

function complaint(content) {
  const said = [content?.msg, content?.message, content?.err, content?.error];
  return said.find((text) => typeof text === "string" && text);
}
