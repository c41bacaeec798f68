/** The light or dark theme: the system's setting, until the user chooses. */

const KEY = "scribe.theme";

export function applyTheme() {
  document.documentElement.style.colorScheme = localStorage.getItem(KEY) ?? "";
}

export function switchTheme() {
  localStorage.setItem(KEY, isDark() ? "light" : "dark");
  applyTheme();
}

function isDark() {
  const chosen = localStorage.getItem(KEY);
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
