// Plots as drawings: lines over an axis, and histograms.
import { drawing, element } from "./elements.js";
import { number } from "./words.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [320, 130, 46, 8, 8, 20];
export const LINE_COLOURS = ["#2f81f7", "#d2701e", "#2da44e", "#bf5ad8", "#d1344b", "#1b9aaa", "#a08a1a", "#7d7f85"];

const brief = (value) => number(Number(value.toPrecision(3)));
const finite = (values) => values.filter(Number.isFinite);

function range(values) {
  const known = finite(values);
  if (!known.length) return [0, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** Lines by name, {x: [...], y: [...]} each, over one axis; `at` marks a place on it. */
export function plot({ lines, x: label }, at = null) {
  const named = Object.entries(lines);
  const [x0, x1] = range(named.flatMap(([, line]) => line.x));
  const [y0, y1] = range(named.flatMap(([, line]) => line.y));
  const across = (x) => LEFT + ((x - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const up = (y) => HEIGHT - BOTTOM - ((y - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);
  const text = (x, y, words, anchor) => drawing("text", { x, y, "text-anchor": anchor }, words);
  const svg = drawing(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "glidewire-plot", role: "img", "aria-label": named.map(([name]) => name).join(", ") },
    drawing("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }),
    text(LEFT - 4, TOP + 8, brief(y1), "end"),
    text(LEFT - 4, HEIGHT - BOTTOM, brief(y0), "end"),
    text(LEFT, HEIGHT - 6, number(x0), "start"),
    text(WIDTH - RIGHT, HEIGHT - 6, number(x1), "end"),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, label, "middle"),
    named.map(([, line], index) => {
      const points = line.x.map((x, i) => [x, line.y[i]]).filter(([, y]) => Number.isFinite(y));
      const d = points.map(([x, y], i) => `${i ? "L" : "M"}${across(x).toFixed(1)} ${up(y).toFixed(1)}`).join("");
      return drawing("path", { d, class: "line", stroke: LINE_COLOURS[index % LINE_COLOURS.length] });
    }),
    at == null ? [] : drawing("path", { class: "cursor", d: `M${across(at).toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}` }),
  );
  return svg;
}

/** The names of the lines of a plot beside their colours. */
export const legend = (names) =>
  element(
    "div.glidewire-legend",
    {},
    names.map((name, index) =>
      element("span", { style: `--line: ${LINE_COLOURS[index % LINE_COLOURS.length]}` }, name),
    ),
  );

/** Counts in equal bins from `min` to `max`. */
export function histogram({ histogram: counts, min, max }) {
  const most = Math.max(...counts, 1);
  const step = 160 / counts.length;
  return element(
    "figure.glidewire-histogram",
    {},
    drawing(
      "svg",
      { viewBox: "0 0 160 36", preserveAspectRatio: "none", role: "img", "aria-label": `histogram from ${number(min)} to ${number(max)}` },
      counts.map((count, index) => {
        const height = count ? Math.max(1, (34 * count) / most) : 0;
        return drawing("rect", { x: index * step, y: 36 - height, width: step * 0.9, height });
      }),
    ),
    element("figcaption", {}, element("span", {}, number(min)), element("span", {}, number(max))),
  );
}

/** A table. */
export const table = ({ columns, rows }) =>
  element(
    "div.glidewire-scroll",
    {},
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, columns.map((column) => element("th", {}, column)))),
      element(
        "tbody",
        {},
        rows.map((row) => element("tr", {}, row.map((cell) => element(typeof cell === "number" ? "td.number" : "td", {}, number(cell))))),
      ),
    ),
  );
