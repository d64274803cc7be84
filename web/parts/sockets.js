// What is drawn at sockets: dims beside outputs, what does not fit at inputs; and wires that are refused.
import { isOurs, linkInto, slotPlace } from "./graph.js";
import * as server from "./server.js";
import { WRONG } from "./state.js";
import { dims } from "./words.js";

const LEAST_SCALE = 0.55; // below it letters are specks

/** In how few words a wire does not fit: the two numbers, "1024 ≠ 768". */
export function clash(problem) {
  const numbers = /(?:is|has) (\S+?)(?: axes)? there and (\S+?) here/.exec(problem.message);
  if (numbers) return `${numbers[1]} ≠ ${numbers[2]}${/axes there/.test(problem.message) ? " axes" : ""}`;
  return problem.kind === "wrong_type" ? `${problem.got} ≠ ${problem.expected}` : "does not fit";
}

/** The problem in full, as lines. */
export function told(problem) {
  const plain = (text) => text?.replaceAll('"', "");
  const ends = problem.expected && problem.got ? `flows ${plain(problem.got)}, needed ${plain(problem.expected)}` : "";
  return [problem.message, ends, problem.hint].filter(Boolean);
}

/** Which wires cannot go where, asked for when one is picked up. */
export class Wires {
  constructor(app, state) {
    Object.assign(this, { app, state, held: null });
    state.addEventListener("change", () => this.let());
  }

  /** A wire is picked up at a slot: ask where it does not fit. */
  async pick({ node, index, isInput }) {
    let [source, output] = [node, index];
    if (isInput) {
      const link = linkInto(node, index);
      if (!link) return;
      [source, output] = [node.graph.getNodeById(link.origin_id), link.origin_slot];
    }
    const id = this.state.ids.get(source);
    if (!id) return;
    this.held = { id, output, found: {} };
    const held = this.held;
    try {
      held.found = await server.misfits({ prompt: this.state.prompt, node: id, output });
      this.app.canvas.setDirty(true, true);
    } catch (problem) {
      console.debug("glidewire: misfits", problem);
    }
  }

  /** Nothing is held any more. */
  let() {
    this.held = null;
  }

  /** Why the held wire cannot go into an input, or undefined. */
  refusal(source, output, node, index) {
    const { held, state } = this;
    if (!held || state.ids.get(source) !== held.id || output !== held.output) return undefined;
    return held.found[`${state.ids.get(node)} ${node.inputs[index]?.name}`];
  }

  /** The inputs of a node that the held wire cannot go into: pairs of index and problem. */
  shut(node) {
    if (!this.held || !this.app.canvas.linkConnector?.renderLinks?.length) return [];
    const id = this.state.ids.get(node);
    return (node.inputs ?? [])
      .map((input, index) => [index, this.held.found[`${id} ${input.name}`]])
      .filter(([, problem]) => problem);
  }
}

/** Let the nodes of a type refuse wires that cannot fit, and draw what is to be seen at their sockets. */
export function teach(nodeType, { state, wires, isShown, refuse }) {
  const { onConnectInput, onDrawForeground } = nodeType.prototype;

  nodeType.prototype.onConnectInput = function (index, type, slot, source, output) {
    if (onConnectInput?.apply(this, arguments) === false) return false;
    const problem = source && wires.refusal(source, output, this, index);
    if (problem) refuse(problem);
    return !problem;
  };

  nodeType.prototype.onDrawForeground = function (context, ...rest) {
    onDrawForeground?.call(this, context, ...rest);
    if (this.flags?.collapsed || !isOurs(this)) return;
    context.save();
    if (isShown() && (wires.app.canvas.ds?.scale ?? 1) >= LEAST_SCALE) drawDims(this, context, state);
    drawMisfits(this, context, state, wires);
    context.restore();
  };
}

function drawDims(node, context, state) {
  const known = state.of(node).dims;
  context.font = "10px sans-serif";
  context.fillStyle = window.LiteGraph.NODE_TEXT_COLOR;
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  (node.outputs ?? []).forEach((_, index) => {
    const shown = known[index] && dims(known[index]);
    if (!shown) return;
    const [left, top] = slotPlace(node, false, index);
    context.fillText(shown, left + 8, top - 7);
  });
}

function drawMisfits(node, context, state, wires) {
  const wrong = (node.inputs ?? []).map((_, index) => [index, state.wireProblem(node, index)]);
  for (const [index, problem] of [...wrong, ...wires.shut(node)]) {
    if (!problem) continue;
    const [left, top] = slotPlace(node, true, index);
    const text = clash(problem);
    context.strokeStyle = WRONG;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(left, top, 8, 0, 2 * Math.PI);
    context.stroke();
    context.font = "bold 11px sans-serif";
    const width = context.measureText(text).width + 12;
    context.fillStyle = WRONG;
    context.beginPath();
    context.roundRect(left - width - 12, top - 9, width, 18, 9);
    context.fill();
    context.fillStyle = "#ffffff";
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(text, left - width - 6, top + 1);
  }
}
