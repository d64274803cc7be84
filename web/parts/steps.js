// The step inspector: what a sampler left of each of its steps, under a slider.
import { element } from "./elements.js";
import { legend, plot } from "./plots.js";
import * as server from "./server.js";
import { number } from "./words.js";

const PLACES = ["step", "timestep"]; // where a step is, not what happened in it
const GIVEN = ["alpha_bar", "temperature"]; // what the schedule says, the same in every run

/** Fill an element with the steps under a key; returns whether there are any. `start` is asked to start from one. */
export async function showSteps(into, key, start) {
  let walks = [];
  try {
    walks = await server.steps(key);
  } catch (problem) {
    console.debug("glidewire: steps", problem);
  }
  walks = walks.map((walk, index) => ({ index, steps: walk })).filter(({ steps }) => steps.some(Boolean));
  if (!walks.length) {
    into.replaceChildren();
    return false;
  }
  const scrubber = new Scrubber(key, start);
  const choose = element(
    "select",
    { "aria-label": "item", onchange: (event) => scrubber.walk(walks[event.target.value]) },
    walks.map(({ index }, place) => element("option", { value: place }, `item ${index}`)),
  );
  into.replaceChildren(element("h3", {}, "Steps"), walks.length > 1 ? choose : "", scrubber.element);
  scrubber.walk(walks[0]);
  return true;
}

class Scrubber {
  constructor(key, start) {
    Object.assign(this, { key, start });
    this.slider = element("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "step", oninput: () => this.show() });
    this.heading = element("output.glidewire-step", {});
    this.pictures = element("div.glidewire-steps", {});
    this.facts = element("dl.glidewire-facts", {});
    this.plots = element("div", {});
    this.button = element("button.glidewire-button", { type: "button", onclick: () => this.start?.(this.step) }, "Start here");
    this.button.title = "Put a node in front of the sampler that stops before this step; the result stays the same";
    this.element = element("div.glidewire-scrubber", {}, element("div.glidewire-row", {}, this.heading, start ? this.button : null), this.slider, this.pictures, this.facts, this.plots);
    for (const kind of ["keydown", "keyup"]) this.slider.addEventListener(kind, (event) => event.stopPropagation());
  }

  /** Show a walk, its last step first. */
  walk({ index, steps }) {
    Object.assign(this, { index, steps });
    this.slider.max = steps.length - 1;
    this.slider.value = steps.findLastIndex(Boolean);
    this.names = [...new Set(steps.flatMap((step) => Object.keys(step?.facts ?? {})))].filter((name) => !PLACES.includes(name));
    this.show();
  }

  show() {
    const at = Number(this.slider.value);
    const step = this.steps[at];
    this.step = step?.facts.step ?? at;
    this.heading.textContent = `step ${this.step + 1} of ${this.last() + 1}` + (step ? `, timestep ${number(step.facts.timestep)}` : "");
    this.slider.setAttribute("aria-valuetext", this.heading.textContent);
    if (step) this.draw(at, step);
    else this.pictures.replaceChildren(element("p.glidewire-faint", {}, "This step came out of the cache; its frame was not kept."));
    this.facts.replaceChildren(...(step ? this.names.filter((name) => name in step.facts).flatMap((name) => [element("dt", {}, name), element("dd", {}, number(step.facts[name]))]) : []));
    this.plots.replaceChildren(...this.curves(at));
  }

  /** The number of the walk's last step in its schedule. */
  last() {
    const known = this.steps.findIndex(Boolean);
    return this.steps[known].facts.step - known + this.steps.length - 1;
  }

  /** The pictures stay in place while they change, so that nothing jumps. */
  draw(at, step) {
    step.pictures.forEach((name, index) => {
      const address = server.stepAddress(this.key, this.index, at, name);
      const shown = this.pictures.querySelectorAll("figure")[index];
      if (shown) {
        shown.querySelector("img").src = address;
        shown.querySelector("figcaption").textContent = name;
      } else {
        if (!index) this.pictures.replaceChildren();
        this.pictures.append(element("figure.glidewire-view", {}, element("img.glidewire-picture", { src: address, alt: name, onload: (event) => this.widen(event.target) }), element("figcaption", {}, name)));
      }
    });
  }

  /** Rows of several items stand below each other. */
  widen({ naturalWidth, naturalHeight }) {
    this.pictures.classList.toggle("glidewire-wide", naturalWidth > 2.5 * naturalHeight);
  }

  /** Sizes over one axis, what lies in [0, 1] or has another unit over another. */
  curves(at) {
    const groups = { sizes: (name) => name.startsWith("rms of "), guidance: (name) => name.startsWith("guidance: "), others: (name) => !/^(rms of |guidance: )/.test(name) };
    return Object.values(groups).flatMap((belongs) => {
      const names = this.names.filter((name) => belongs(name) && !GIVEN.includes(name));
      if (!names.length) return [];
      const lines = Object.fromEntries(names.map((name) => [name, this.line(name)]));
      return [plot({ lines, x: "step" }, at), legend(names)];
    });
  }

  line(name) {
    const known = this.steps.map((step, index) => [index, step?.facts[name]]).filter(([, value]) => value !== undefined);
    return { x: known.map(([index]) => index), y: known.map(([, value]) => value) };
  }
}
