// What the server says of the graph that is open: asked again after every change, when a run ends, and when
// the server is there again.
import { linkInto, nodesWithIds } from "./graph.js";
import * as server from "./server.js";

const WAIT = 250; // a pause in typing
const NEWS = ["graphChanged", "execution_success", "execution_error", "execution_interrupted", "glidewire_finished", "reconnected"];

/** Holds the last answer; dispatches "change" when there is a new one. */
export class GraphState extends EventTarget {
  constructor(app) {
    super();
    this.app = app;
    this.prompt = {};
    this.told = { problems: [], dims: {}, types: {}, marks: {}, totals: {} };
    this.nodes = new Map(); // by id in a run
    this.ids = new WeakMap(); // of node objects
    this.problems = new Map(); // by id in a run
    this.round = 0;
  }

  /** Listen for what changes the answer. */
  start() {
    for (const name of NEWS) server.api.addEventListener(name, () => this.refresh());
    this.refresh();
  }

  /** Ask again soon. */
  refresh() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), WAIT);
  }

  /** Ask now. */
  async load() {
    clearTimeout(this.timer);
    const round = ++this.round;
    try {
      const { output, workflow } = await this.app.graphToPrompt();
      const told = await server.state({ prompt: output, workflow: workflow?.id ? { id: workflow.id } : null });
      if (round !== this.round) return;
      this.prompt = output;
      this.take(told);
    } catch (problem) {
      console.debug("glidewire: the graph could not be inspected", problem);
    }
  }

  take(told) {
    this.told = told;
    this.nodes = new Map(nodesWithIds(this.app.rootGraph ?? this.app.graph));
    for (const [id, node] of this.nodes) this.ids.set(node, id);
    this.problems = new Map();
    for (const problem of told.problems) {
      if (!problem.node) continue;
      this.problems.set(problem.node, [...(this.problems.get(problem.node) ?? []), problem]);
    }
    this.colourWires();
    this.dispatchEvent(new Event("change"));
    this.app.canvas?.setDirty(true, true);
  }

  /** Everything known of a node object. */
  of(node) {
    const id = this.ids.get(node);
    return {
      id,
      mark: this.told.marks[id],
      dims: this.told.dims[id] ?? {},
      types: this.told.types[id] ?? {},
      problems: this.problems.get(id) ?? [],
    };
  }

  /** The problem of the wire into an input, if there is one. */
  wireProblem(node, index) {
    const input = node.inputs?.[index];
    if (!input || !linkInto(node, index)) return undefined;
    return this.of(node).problems.find((one) => one.input === input.name && /^wrong_/.test(one.kind));
  }

  /** Wires that do not fit are red. */
  colourWires() {
    for (const node of this.nodes.values()) {
      (node.inputs ?? []).forEach((_, index) => {
        const link = linkInto(node, index);
        if (!link) return;
        const wrong = Boolean(this.wireProblem(node, index));
        if (wrong) link.color = WRONG;
        else if (link.color === WRONG) link.color = "";
      });
    }
  }
}

export const WRONG = "#e5383b";
