/** Build elements and icons without a framework. */

const SVG = "http://www.w3.org/2000/svg";

const SHAPES = {
  back: "M15 5l-7 7 7 7",
  check: "M5 12.5l4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  edit: "M4 20l1-4.5L16 4.5 19.5 8 8.5 19zM13.5 7l3.5 3.5",
  leave: "M14 4h5v16h-5M4 12h11M11 8l4 4-4 4",
  list: "M5 6.5h14M5 12h14M5 17.5h9",
  microphone: "M12 3.5a3 3 0 013 3v5a3 3 0 01-6 0v-5a3 3 0 013-3zM5.5 11.5a6.5 6.5 0 0013 0M12 18v3",
  moon: "M19.5 14.5A8 8 0 019.5 4.5a8 8 0 1010 10z",
  plus: "M12 5v14M5 12h14",
  prompt: "M5 4h14v12h-8l-4 4v-4H5zM9 8.5h6M9 11.5h4",
  search: "M10.5 4.5a6 6 0 110 12 6 6 0 010-12zM15 15l5 5",
  stop: "M7 7h10v10H7z",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.2 10.5v5.5M13.8 10.5v5.5",
  warning: "M12 4l9 16H3zM12 10v4.5M12 17.2v.3",
};

/**
 * Returns an element. In `attributes`, `on…` are listeners, true sets an attribute, false and null omit it. Among
 * `children`, null and false are omitted and lists are flattened.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** A line drawing of the size of the surrounding text, hidden from screen readers. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  drawing.append(path);
  return drawing;
}

/** A button with a text. `look` is any of `primary`, `danger`, `small`, `wide`; `drawing` an icon before the text. */
export function textButton(label, onclick, { look = "", drawing = null, ...attributes } = {}) {
  const shown = [drawing && icon(drawing), label];
  return h("button", { type: "button", class: `button ${look}`.trim(), onclick, ...attributes }, shown);
}

/** A button that shows only an icon; `label` is its accessible name. */
export function iconButton(drawing, label, onclick) {
  const attributes = { type: "button", class: "icon-button", "aria-label": label, title: label, onclick };
  return h("button", attributes, icon(drawing));
}
