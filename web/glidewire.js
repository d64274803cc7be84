// What the editor shows of a workflow of this pack that it would not show by itself; the same in every host.
import { app } from "../../scripts/app.js";
import { colourTypes } from "./parts/colours.js";
import { commands, keybindings, startFrom } from "./parts/commands.js";
import { isOurs } from "./parts/graph.js";
import { watchPointer } from "./parts/hover.js";
import { Inspector } from "./parts/inspector.js";
import { addMark, writeMark } from "./parts/marks.js";
import { pin, refreshPinned, showOnNode } from "./parts/pinned.js";
import { openPopover } from "./parts/popover.js";
import { clash, teach, told, Wires } from "./parts/sockets.js";
import { GraphState } from "./parts/state.js";

const SHOWN = "Glidewire.ShowMarks";

document.head.append(
  Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("./glidewire.css", import.meta.url).href }),
);

const state = new GraphState(app);
const wires = new Wires(app, state);
const inspector = new Inspector(app, state, startFrom(app, state));
const types = new Set();

const settings = () => app.extensionManager?.setting;
let shown = true;
const isShown = () => shown;
const toast = (severity, summary, detail) => app.extensionManager?.toast?.add({ severity, summary, detail, life: 6000 });
const refuse = (problem) => toast("warn", `This wire cannot fit: ${clash(problem)}`, told(problem).join("\n"));
const toggle = () => settings()?.set(SHOWN, !isShown());
// Some versions of the editor tell of a setting before they keep it: what is told counts.
const show = (value) => {
  shown = value;
  writeMarks();
};
const writeMarks = () => {
  for (const node of state.nodes.values()) writeMark(node, isShown() && state.of(node));
  app.canvas?.setDirty(true, true);
};

app.registerExtension({
  name: "glidewire.editor",
  settings: [
    { id: SHOWN, name: "Show dims on sockets and cache marks on nodes", category: ["Glidewire", "Editor", "Marks"], type: "boolean", defaultValue: true, onChange: show },
  ],
  commands: commands(app, { inspector, toast, toggle }),
  keybindings,
  menuCommands: [{ path: ["Glidewire"], commands: ["Glidewire.Inspect", "Glidewire.CopyPython", "Glidewire.CopyCommand", "Glidewire.ToggleMarks"] }],

  beforeRegisterNodeDef(nodeType, definition) {
    if (!isOurs({ type: definition.name })) return;
    for (const type of definition.output ?? []) types.add(String(type));
    teach(nodeType, { state, wires, isShown, refuse });
    const { onExecuted } = nodeType.prototype;
    nodeType.prototype.onExecuted = function (told, ...rest) {
      onExecuted?.call(this, told, ...rest);
      showOnNode(this, told ?? {});
    };
  },

  nodeCreated(node) {
    addMark(node);
  },

  getNodeMenuItems(node) {
    if (!isOurs(node)) return [];
    const pins = (node.outputs ?? []).map((output, index) => ({ content: `Pin ${output.label ?? output.name} to the node`, callback: () => pin(state, node, index) }));
    return [null, { content: "Inspect", callback: () => inspector.open(node) }, ...pins];
  },

  async setup() {
    colourTypes(app, [...types]);
    // Another palette forgets the colours of types that it does not know, and shows in the style of the page.
    new MutationObserver(() => colourTypes(app, [...types])).observe(document.documentElement, { attributeFilter: ["style"] });
    app.extensionManager?.registerSidebarTab?.(inspector.tab());
    inspector.follow();
    watchPointer(app, state, wires, (slot) => {
      openPopover(app, state, slot, { pin: (node, index) => pin(state, node, index), inspect: (node) => inspector.open(node) });
    });
    state.addEventListener("change", () => {
      writeMarks();
      colourTypes(app, [...types]);
      refreshPinned(state);
    });
    state.start();
  },

  afterConfigureGraph() {
    state.refresh();
  },
});
