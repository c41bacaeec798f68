/** The loudness of the last seconds, as a row of bars. */

const BAR_PX = 3;
const GAP_PX = 3;
const STEP_MS = 70;

export class Meter {
  element = document.createElement("canvas");
  #level;
  #levels = [];
  #timer = 0;

  /** `level()` returns the loudness, from 0 to 1. */
  constructor(level) {
    this.#level = level;
    this.element.className = "meter";
    this.element.setAttribute("aria-hidden", "true");
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  start() {
    this.#levels = [];
    this.#timer = setInterval(() => this.#step(), STEP_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#levels = [];
    this.#draw();
  }

  #step() {
    this.#levels.push(this.#level());
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const count = Math.floor(width / (BAR_PX + GAP_PX));
    this.#levels = this.#levels.slice(-count);
    const scale = devicePixelRatio;
    this.element.width = width * scale;
    this.element.height = height * scale;
    const brush = this.element.getContext("2d");
    brush.scale(scale, scale);
    brush.fillStyle = getComputedStyle(this.element).color;
    for (let place = 0; place < count; place++) {
      const level = this.#levels[this.#levels.length - count + place] ?? 0;
      const bar = Math.max(BAR_PX, level * height);
      brush.globalAlpha = level ? 0.35 + 0.65 * (place / count) : 0.18;
      brush.beginPath();
      brush.roundRect(place * (BAR_PX + GAP_PX), (height - bar) / 2, BAR_PX, bar, BAR_PX / 2);
      brush.fill();
    }
  }
}
