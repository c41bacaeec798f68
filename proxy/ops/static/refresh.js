// Refreshes a page's live parts in place; without scripts <meta refresh> reloads the page.
// Paused while the page is hidden, or while a form or a button has the focus.
"use strict";

const main = document.querySelector("main[data-refresh]");
const seconds = main ? Number(main.dataset.refresh) : 0;

const paused = () => document.hidden || document.activeElement?.closest("form, summary, details[open]") !== null;

async function refresh() {
  if (!paused()) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected) return location.reload();
      if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      main.classList.toggle("stale", !answer.ok);
    } catch {
      main.classList.add("stale");
    }
  }
  setTimeout(refresh, seconds * 1000);
}

function show(page) {
  for (const part of page.querySelectorAll("[data-live]")) {
    const here = document.getElementById(part.id);
    if (!here || here.contains(document.activeElement)) continue;
    for (const open of here.querySelectorAll("details[id][open]")) part.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    here.replaceWith(part);
  }
}

if (seconds) setTimeout(refresh, seconds * 1000);
