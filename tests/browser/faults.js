// Faults of the open page, as texts. Contrast, names and sizes are those of WCAG 2.2 AA.
() => {
  const faults = [];
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) =>
    [red, green, blue]
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [red, green, blue, alpha = 1] = channels(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [red, green, blue];
    }
    return [255, 255, 255];
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };

  for (const element of document.querySelectorAll("body *:not(svg, svg *, script, noscript)")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!text.length || !shown(element)) continue;
    const style = getComputedStyle(element);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const found = contrast(channels(style.color), ground(element));
    if (found < (large ? 3 : 4.5)) faults.push(`"${text[0].data.trim()}" has a contrast of ${found.toFixed(2)}`);
  }

  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    for (const element of document.querySelectorAll("main *")) {
      if (element.getBoundingClientRect().right > width + 1) faults.push(`${element.outerHTML.slice(0, 80)} is too wide`);
    }
    faults.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${width}`);
  }

  for (const [name, count] of Object.entries({ h1: 1, main: 1, "body > header": 1, "body > footer": 1, "head > title": 1 })) {
    if (document.querySelectorAll(`html ${name}`).length !== count) faults.push(`not ${count} of ${name}`);
  }
  for (const control of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!control.labels.length) faults.push(`${control.outerHTML} has no label`);
  }
  for (const image of document.querySelectorAll("svg")) {
    if (!image.getAttribute("aria-label") && image.getAttribute("aria-hidden") !== "true") faults.push("a drawing has no name");
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption?.textContent.trim()) faults.push("a table has no caption");
    if ([...table.querySelectorAll("th")].some((head) => !head.scope)) faults.push("a heading of a table has no scope");
  }
  for (const link of document.querySelectorAll("a, button")) {
    if (!link.textContent.trim()) faults.push(`${link.outerHTML} has no name`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids.filter((one, index) => ids.indexOf(one) !== index)) faults.push(`the id ${id} is there twice`);
  for (const element of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(element.getAttribute("aria-labelledby"))) faults.push("a label is not there");
  }
  return faults;
}
