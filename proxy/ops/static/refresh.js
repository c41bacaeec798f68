// Renews what a live page shows without a flicker; without scripts the page's own <meta refresh> does it, with one.
// Nothing is renewed while the page is hidden, or while somebody is writing in a form or holds a button.
"use strict";

const main = document.querySelector("main[data-refresh]");
const seconds = main ? Number(main.dataset.refresh) : 0;

const busy = () => document.hidden || document.activeElement?.closest("form, summary, details[open]") !== null;

async function renew() {
  if (!busy()) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected) return location.reload();
      if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      main.classList.toggle("stale", !answer.ok);
    } catch {
      main.classList.add("stale");
    }
  }
  setTimeout(renew, seconds * 1000);
}

function show(page) {
  for (const part of page.querySelectorAll("[data-live]")) {
    const here = document.getElementById(part.id);
    if (here && !here.contains(document.activeElement)) here.replaceWith(part);
  }
}

if (seconds) setTimeout(renew, seconds * 1000);
