// The pointer over the canvas: why a node is marked so, what does not fit; a click on a socket opens its value.
import { element } from "./elements.js";
import { graphPlace, isOurs, slotAt } from "./graph.js";
import { onMark, reasons } from "./marks.js";
import { isPopoverOpen } from "./popover.js";
import { told } from "./sockets.js";
import { dims } from "./words.js";

const CLICK = { pixels: 4, milliseconds: 500 };

/** Watch the pointer. */
export function watchPointer(app, state, wires, openSocket) {
  const canvas = app.canvas.canvas;
  const tip = element("div.glidewire-tip", { role: "tooltip", hidden: true });
  document.body.append(tip);
  let pressed = null;

  const show = (event, lines) => {
    tip.hidden = !lines.length || isPopoverOpen();
    if (tip.hidden) return;
    tip.replaceChildren(...lines.map((line) => element("p", {}, line)));
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 16, innerHeight - height - 8))}px`;
  };

  const over = (event) => {
    const place = graphPlace(app.canvas, event);
    const marked = (app.canvas.visible_nodes ?? []).find((node) => isOurs(node) && onMark(node, place));
    if (marked) return show(event, reasons(state.of(marked)));
    const slot = slotAt(app.canvas, place);
    show(event, slot ? socketLines(slot, state, wires) : []);
  };

  let waiting = false;
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) tip.hidden = true;
    if (waiting || event.buttons) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      over(event);
    });
  });
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));

  canvas.addEventListener(
    "pointerdown",
    (event) => {
      tip.hidden = true;
      const slot = event.button === 0 ? slotAt(app.canvas, graphPlace(app.canvas, event)) : null;
      pressed = slot && { slot, x: event.clientX, y: event.clientY, at: event.timeStamp };
      if (slot) wires.pick(slot);
    },
    { capture: true },
  );
  const release = (event) => {
    if (!pressed) return;
    const { slot, x, y, at } = pressed;
    pressed = null;
    const moved = Math.hypot(event.clientX - x, event.clientY - y);
    if (moved < CLICK.pixels && event.timeStamp - at < CLICK.milliseconds) openSocket(slot);
    setTimeout(() => wires.let(), 100); // after the editor has dropped the wire
  };
  // The editor keeps these from whoever listens later.
  window.addEventListener("pointerup", release, { capture: true });
}

function socketLines({ node, index, isInput }, state, wires) {
  if (isInput) {
    const problem = state.wireProblem(node, index) ?? wires.shut(node).find(([at]) => at === index)?.[1];
    return problem ? told(problem) : [];
  }
  const { dims: known, types, mark } = state.of(node);
  const kind = (types[index] ?? [node.outputs[index].type]).join(" or ");
  const cached = mark && (mark.status === "memory" || mark.status === "disk");
  return [[kind, known[index] && dims(known[index])].filter(Boolean).join("  "), cached ? "Click to look at the value." : ""].filter(Boolean);
}
