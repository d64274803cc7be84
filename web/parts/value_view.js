// A value as it can be looked at: its views, and its tensors with their ranges and histograms.
import { element } from "./elements.js";
import { histogram, legend, plot, table } from "./plots.js";
import * as server from "./server.js";
import { bytes, number } from "./words.js";

/** One view of a value. */
export function view(one, { key, slot, types }) {
  const title = element("figcaption", {}, one.title);
  if (one.view === "picture") {
    const address = server.viewAddress(key, slot, types, one.index);
    return element("figure.glidewire-view", {}, element("img.glidewire-picture", { src: address, alt: one.title }), title);
  }
  if (one.view === "table") return element("figure.glidewire-view", {}, table(one), title);
  return element("figure.glidewire-view", {}, plot(one), Object.keys(one.lines).length > 1 ? legend(Object.keys(one.lines)) : null, title);
}

function tensor(one) {
  const facts = [`${one.shape.join(" × ") || "scalar"}`, one.dtype, bytes(one.nbytes), one.device === "cpu" ? null : one.device];
  const range = "min" in one ? `${number(one.min)} … ${number(one.max)}, mean ${number(one.mean)}, deviation ${number(one.std)}` : "";
  return element(
    "section.glidewire-tensor",
    {},
    element("header", {}, one.name ? element("b", { title: one.name }, one.name) : null, element("span.glidewire-shape", {}, facts.filter(Boolean).join(" · "))),
    one.not_finite ? element("p.glidewire-wrong", {}, `${one.not_finite} values are NaN or infinite`) : null,
    range ? element("p", {}, range, one.sampled ? " (of a sample)" : "") : null,
    one.histogram ? histogram(one) : null,
  );
}

/** Fill an element with the value behind an output: {key, slot, types}; says in words where it is gone. */
export async function showValue(into, place) {
  into.replaceChildren(element("p.glidewire-faint", {}, "…"));
  try {
    const told = await server.value(place.key, place.slot, place.types);
    into.replaceChildren(
      ...told.views.map((one) => view(one, place)),
      ...(told.tensors.length ? told.tensors.map(tensor) : [element("pre.glidewire-text", {}, told.plain ?? told.text)]),
    );
    return told;
  } catch (problem) {
    into.replaceChildren(element("p.glidewire-faint", {}, problem.message));
    return null;
  }
}
