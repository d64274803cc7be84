// Commands with their keys and menu: copy as Python, copy as a command line, inspect, start from a step.
import { linkInto } from "./graph.js";
import * as server from "./server.js";

/** Put a text on the clipboard; where the page may not, through a field that is selected. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

const workflowName = (app) => {
  const open = app.extensionManager?.workflow?.activeWorkflow;
  const path = open?.path ?? "";
  return (path.split("workflows/").at(-1) || open?.filename || "").replace(/^\/+/, "");
};

/** The commands of the extension. */
export function commands(app, { inspector, toast, toggle }) {
  const written = async (ask, what) => {
    try {
      const { output } = await app.graphToPrompt();
      const text = await ask({ prompt: output, name: workflowName(app) });
      await copy(text);
      toast("success", `${what} copied`, text.length > 300 ? `${text.length} characters` : text);
    } catch (problem) {
      toast("error", `No ${what} was copied`, problem.message);
    }
  };
  return [
    { id: "Glidewire.Inspect", label: "Inspect the selected node", icon: "pi pi-eye", function: () => inspector.open() },
    { id: "Glidewire.CopyPython", label: "Copy the workflow as Python", icon: "pi pi-copy", function: () => written(server.python, "Python source") },
    { id: "Glidewire.CopyCommand", label: "Copy the workflow as a command", icon: "pi pi-copy", function: () => written(server.command, "command line") },
    { id: "Glidewire.ToggleMarks", label: "Show or hide dims and marks", icon: "pi pi-tag", function: toggle },
  ];
}

export const keybindings = [
  { combo: { key: "i", alt: true }, commandId: "Glidewire.Inspect" },
  { combo: { key: "p", alt: true, shift: true }, commandId: "Glidewire.CopyPython" },
  { combo: { key: "l", alt: true, shift: true }, commandId: "Glidewire.CopyCommand" },
  { combo: { key: "d", alt: true, shift: true }, commandId: "Glidewire.ToggleMarks" },
];

const WALK = "GlidewireSampleUntil";
/** How the node that stops at a step is set to walk as a sampler does. */
const SOLVERS = { GlidewireAncestralSampler: () => ({ solver: "ancestral" }), GlidewireDdimSampler: ({ eta }) => ({ solver: "ddim", eta }) };

/** What "start from a step" does for a sampler, or null for nodes that are none. */
export const startFrom = (app, state) => (sampler) => {
  const kind = sampler.comfyClass ?? sampler.type;
  if (!SOLVERS[kind] || !window.LiteGraph.registered_node_types[WALK]) return null;
  return (step) => {
    const { graph } = sampler;
    graph.beforeChange?.();
    const set = Object.fromEntries((sampler.widgets ?? []).map((widget) => [widget.name, widget.value]));
    const wired = (name) => {
      const link = linkInto(sampler, sampler.inputs.findIndex((input) => input.name === name));
      return link ? [graph.getNodeById(link.origin_id), link.origin_slot] : null;
    };
    const started = wired("start");
    const before = started?.[0].comfyClass === WALK ? started[0] : null;
    const walk = before ?? window.LiteGraph.createNode(WALK);
    if (!before) {
      walk.pos = [sampler.pos[0] - 260, sampler.pos[1] + 220];
      graph.add(walk);
      for (const name of ["denoiser", "schedule", "start"]) {
        const [node, slot] = wired(name) ?? [];
        node?.connect(slot, walk, walk.inputs.findIndex((input) => input.name === name));
      }
      walk.connect(0, sampler, sampler.inputs.findIndex((input) => input.name === "start"));
    }
    const values = { ...SOLVERS[kind](set), clip: set.clip, steps: step };
    for (const widget of walk.widgets) if (values[widget.name] !== undefined) widget.value = values[widget.name];
    graph.afterChange?.();
    app.canvas.setDirty(true, true);
    state.refresh();
  };
};
