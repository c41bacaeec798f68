/** Who is logged in, for as long as this tab is open. */

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

/** The id of the user whose token it is; empty without one. */
export function userId() {
  const claims = token()?.split(".")[1];
  if (!claims) return "";
  return JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).userID ?? "";
}
