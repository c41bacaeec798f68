/** Prompts: the clinician's instructions for summaries. */

import * as api from "../api.js";
import { h, iconButton, textButton } from "../dom.js";
import { title } from "../frame.js";
import { confirm, field, form, line, loaded, openDialog, say } from "../parts.js";
import * as session from "../session.js";

export function promptsPage() {
  const list = h("ul", { class: "prompts" });
  const add = async (values) => list.prepend(card(await api.createPrompt(values)));
  const create = () => openPromptForm("New prompt", {}, add);
  const element = h(
    "div",
    { class: "page" },
    h(
      "div",
      { class: "page-head" },
      title("Prompts"),
      textButton("New prompt", create, { look: "primary", drawing: "plus" }),
    ),
    h("p", { class: "lead" }, "A prompt describes the form of a summary. Everybody can use shared prompts."),
    loaded(api.listPrompts, (prompts) => {
      list.replaceChildren(...prompts.map(card));
      return list;
    }),
  );
  return { title: "Prompts", element };
}

/** A form for a prompt's name and text; `save` gets them in the service's form. */
export function openPromptForm(heading, prompt, save) {
  openDialog(heading, (close) => {
    const submit = async (values) => {
      const { name, text, shared } = values;
      await save({ prompt_name: name.trim(), prompt_text: text.trim(), is_shareable: shared === "on" });
      close();
    };
    const name = line({ name: "name", value: prompt.prompt_name, autofocus: true });
    const text = h("textarea", { name: "text", required: true, rows: 6 }, prompt.prompt_text ?? "");
    const shared = h("input", { type: "checkbox", name: "shared", checked: prompt.is_shareable === true });
    return form(
      submit,
      "Save prompt",
      field("Name", name),
      field("Instructions", text, "For instance: a SOAP note in British English, with a safety net."),
      h("label", { class: "check" }, shared, "Share it with everybody"),
    );
  });
}

function card(prompt) {
  const item = h("li", { class: "card prompt" });
  const own = prompt.clinician === session.userId();
  item.append(
    h(
      "div",
      { class: "card-head" },
      h("h2", {}, prompt.prompt_name),
      prompt.is_shareable && h("span", { class: "pill" }, own ? "Shared" : "Shared with you"),
      own && iconButton("edit", `Change ${prompt.prompt_name}`, () => change(prompt, item)),
      own && iconButton("trash", `Delete ${prompt.prompt_name}`, () => remove(prompt, item)),
    ),
    h("p", { class: "prompt-text" }, prompt.prompt_text),
  );
  return item;
}

function change(prompt, item) {
  openPromptForm("Change the prompt", prompt, async (values) => {
    item.replaceWith(card(await api.changePrompt(prompt._id, values)));
  });
}

function remove(prompt, item) {
  confirm("Delete this prompt?", "Summaries that were written with it stay.", "Delete", async () => {
    await api.deletePrompt(prompt._id);
    item.remove();
    say("The prompt is deleted.");
  });
}
