// Values and texts shown on nodes themselves: what a node shows by its nature, and outputs that the user pinned.
import { element } from "./elements.js";
import { isOurs } from "./graph.js";
import { plot, legend, table } from "./plots.js";
import { placeOf } from "./popover.js";
import { showValue } from "./value_view.js";

const PROPERTY = "glidewire: pinned output";
const HEIGHT = 200;

function panel(node, name, height) {
  const known = node.widgets?.find((widget) => widget.name === name);
  if (known) return known.element;
  const shown = element("div.glidewire-on-node", {});
  const widget = node.addDOMWidget(name, "glidewire", shown, { serialize: false, hideOnZoom: true, getMinHeight: () => height });
  widget.serialize = false;
  const [width, least] = node.computeSize();
  node.setSize([Math.max(node.size[0], width, 240), Math.max(node.size[1], least)]);
  return shown;
}

function unpanel(node, name) {
  const index = node.widgets?.findIndex((widget) => widget.name === name) ?? -1;
  if (index < 0) return;
  node.widgets[index].onRemove?.();
  node.widgets[index].element?.remove();
  node.widgets.splice(index, 1);
  node.setSize([node.size[0], node.computeSize()[1]]);
}

/** Show the value of an output on its node, from now on; or no longer. */
export function pin(state, node, index) {
  if (node.properties[PROPERTY] === index) {
    delete node.properties[PROPERTY];
    unpanel(node, "pinned");
  } else {
    node.properties[PROPERTY] = index;
    delete node.glidewirePinned;
    refreshPinned(state);
  }
  node.setDirtyCanvas?.(true, true);
}

/** Bring every pinned value up to date. */
export function refreshPinned(state) {
  for (const node of state.nodes.values()) {
    const index = node.properties?.[PROPERTY];
    if (!isOurs(node) || index === undefined || !node.outputs?.[index]) continue;
    const place = placeOf(state, node, index);
    const { mark } = state.of(node);
    const cached = mark && ["memory", "disk"].includes(mark.status);
    if (!cached || !place || node.glidewirePinned === place.key) continue;
    node.glidewirePinned = place.key;
    showValue(panel(node, "pinned", HEIGHT), place);
  }
}

/** What a node wants shown by itself: texts, tables and plots; pictures are the editor's own affair. */
export function showOnNode(node, told) {
  const parts = [
    ...(told.text ?? []).map((text) => element("pre", {}, String(text))),
    ...(told.tables ?? []).map(table),
    ...(told.plots ?? []).flatMap((one) => [plot(one), legend(Object.keys(one.lines))]),
  ];
  if (parts.length) panel(node, "shown", Math.min(HEIGHT, 40 * parts.length + 20)).replaceChildren(...parts);
}
