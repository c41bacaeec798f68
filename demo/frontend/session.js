/** The logged-in user, while this tab is open. */

const KEY = "scribe.token";

export function token() {
  return sessionStorage.getItem(KEY);
}

export function begin(value) {
  sessionStorage.setItem(KEY, value);
}

export function end() {
  sessionStorage.clear();
}

/** The id of the token's user; empty without a token. */
export function userId() {
  const claims = token()?.split(".")[1];
  if (!claims) return "";
  return JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).userID ?? "";
}
