// The value behind one socket, in a window beside it.
import { element } from "./elements.js";
import { linkInto, screenPlace, slotPlace } from "./graph.js";
import { showValue } from "./value_view.js";

let open = null;

/** Whether the window is open. */
export const isPopoverOpen = () => open !== null;

/** Close the window. */
export function closePopover() {
  open?.remove();
  open = null;
}

/** The node and output that a slot's value comes from: an input's is at the other end of its wire. */
export function sourceOf({ node, index, isInput }) {
  if (!isInput) return { node, index };
  const link = linkInto(node, index);
  const source = link && node.graph.getNodeById(link.origin_id);
  return source ? { node: source, index: link.origin_slot } : null;
}

/** What the server needs to show an output: {key, slot, types}; null before anything is planned. */
export function placeOf(state, node, index) {
  const { mark, types } = state.of(node);
  return mark?.key ? { key: mark.key, slot: index, types: types[index] ?? [String(node.outputs[index].type)] } : null;
}

/** Show the value behind a slot. */
export async function openPopover(app, state, slot, { pin, inspect }) {
  closePopover();
  const source = sourceOf(slot);
  if (!source) return;
  const { node, index } = source;
  const place = placeOf(state, node, index);
  if (!place) return;
  const body = element("div.glidewire-body", {});
  const button = (words, title, act) => element("button.glidewire-button", { type: "button", title, onclick: act }, words);
  const bar = element(
    "header",
    {},
    element("b", {}, `${node.title} · ${node.outputs[index].label ?? node.outputs[index].name}`),
    button("Pin", "Show it on the node", () => pin(node, index)),
    button("Inspect", "Open the inspector", () => inspect(node)),
    button("✕", "Close (Escape)", closePopover),
  );
  open = element("div.glidewire-popover", { role: "dialog", "aria-label": `value of ${node.outputs[index].name}`, tabindex: "-1" }, bar, body);
  open.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") closePopover();
  });
  document.body.append(open);
  const [dx, dy] = slotPlace(node, false, index);
  const [x, y] = screenPlace(app.canvas, [node.pos[0] + dx, node.pos[1] + dy]);
  const settle = () => {
    if (!open) return;
    const { width, height } = open.getBoundingClientRect();
    open.style.left = `${Math.max(8, Math.min(x + 12, innerWidth - width - 12))}px`;
    open.style.top = `${Math.max(8, Math.min(y + 16, innerHeight - height - 12))}px`;
  };
  settle();
  open.focus({ preventScroll: true });
  await showValue(body, place);
  settle();
  body.querySelectorAll("img").forEach((picture) => picture.addEventListener("load", settle));
}

/** Close when the user presses the pointer anywhere else. */
document.addEventListener("pointerdown", (event) => open && !open.contains(event.target) && closePopover(), { capture: true });
