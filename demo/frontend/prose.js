/** A model's text as elements: the subset of Markdown that models write, and never HTML. */

import { h } from "./dom.js";

const HEADING = /^(#{1,6})\s+(.*)/;
const ITEM = /^\s*(?:[-*•]|\d+[.)])\s+(.*)/;
const BOLD = /\*\*(.+?)\*\*/;

/** Headings, lists, paragraphs and bold words; line breaks stay. */
export function prose(text) {
  const blocks = text.trim().split(/\n\s*\n/).flatMap(splitHeading);
  return h("div", { class: "prose" }, blocks.map(block));
}

/** A heading needs no empty line after it. */
function splitHeading(text) {
  const [first, ...rest] = text.split("\n");
  return HEADING.test(first) && rest.length ? [first, rest.join("\n")] : [text];
}

function block(text) {
  const heading = HEADING.exec(text);
  if (heading) return h("h3", {}, inline(heading[2]));
  const lines = text.split("\n");
  if (!lines.every((line) => ITEM.test(line))) return h("p", {}, inline(text));
  const tag = /^\s*\d/.test(text) ? "ol" : "ul";
  return h(tag, {}, lines.map((line) => h("li", {}, inline(ITEM.exec(line)[1]))));
}

function inline(text) {
  return text.split(/(\*\*.+?\*\*)/).map((run) => (BOLD.test(run) ? h("strong", {}, BOLD.exec(run)[1]) : run));
}
