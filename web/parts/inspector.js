// The inspector: everything known of the selected node, in the sidebar.
import { element } from "./elements.js";
import { isOurs } from "./graph.js";
import { markOf, reasons } from "./marks.js";
import { placeOf } from "./popover.js";
import { showSteps } from "./steps.js";
import { showValue } from "./value_view.js";
import { bytes, dims, seconds } from "./words.js";

/** The newer design of nodes is drawn by the editor alone: marks are among its badges, and there is no place for more. */
const isNewDesign = () => Boolean(window.LiteGraph?.vueNodesMode);
const DESIGN = "Comfy.VueNodes.Enabled";
const LEFT_OUT = "Nodes 2.0 has no room for dims at sockets and opens no values there: both stand here, for the node that is selected.";

export const TAB = "glidewire-inspector";

/** Shows one node at a time: the selected one. */
export class Inspector {
  constructor(app, state, startFrom) {
    Object.assign(this, { app, state, startFrom });
    this.root = element("div.glidewire-inspector", {});
    state.addEventListener("change", () => this.show());
    // The editor takes up the other design of nodes after it has told of the setting.
    app.ui?.settings?.addEventListener?.(`${DESIGN}.change`, () => setTimeout(() => this.show(), 200));
  }

  /** The tab of the sidebar. */
  tab() {
    return {
      id: TAB,
      icon: "pi pi-eye",
      title: "Inspector",
      tooltip: "Inspector: what came out of the selected node",
      type: "custom",
      render: (into) => {
        into.replaceChildren(this.root);
        this.shown = "";
        requestAnimationFrame(() => this.show()); // when the sidebar has taken it in
      },
      destroy: () => this.root.remove(),
    };
  }

  /** Follow the selection. */
  follow() {
    const canvas = this.app.canvas;
    const before = canvas.onSelectionChange;
    canvas.onSelectionChange = (...all) => {
      before?.apply(canvas, all);
      this.show();
    };
  }

  /** Open the sidebar on a node. */
  open(node) {
    if (node) this.app.canvas.selectNode?.(node);
    const manager = this.app.extensionManager;
    const tabs = manager.sidebarTab ?? manager;
    if (tabs.activeSidebarTabId !== TAB) manager.command?.execute(`Workspace.ToggleSidebarTab.${TAB}`);
    this.show();
  }

  selected() {
    const { canvas } = this.app;
    return [...(canvas.selectedItems ?? Object.values(canvas.selected_nodes ?? {}))].find(isOurs);
  }

  /** Show the selected node; what is shown already stays as it is. */
  show() {
    if (!this.root.isConnected) return;
    const node = this.selected();
    const known = node && this.state.of(node);
    const now = isNewDesign() + JSON.stringify(node ? [known.id, node.title, known.mark, known.problems, known.dims] : this.state.told.totals);
    if (now === this.shown) return;
    this.shown = now;
    this.root.replaceChildren(...(node ? this.node(node, known) : this.overview()));
  }

  overview() {
    const { seconds: cost, saved, nodes } = this.state.told.totals;
    const lines = nodes
      ? [`${nodes} node${nodes === 1 ? "" : "s"} will run${cost ? `, about ${seconds(cost)}` : ""}.`, saved ? `The cache saves ${seconds(saved)}.` : ""]
      : [];
    if (isNewDesign()) lines.push(LEFT_OUT);
    return [element("p", {}, "Select a node to look at what came out of it."), ...lines.map((line) => element("p.glidewire-faint", {}, line))];
  }

  node(node, known) {
    const { mark, problems } = known;
    const [colour, words] = markOf(known) ?? ["#5f6368", "not planned"];
    const facts = mark && {
      time: mark.seconds == null ? null : `${mark.guessed ? "≈ " : ""}${seconds(mark.seconds)}`,
      memory: mark.nbytes == null ? null : bytes(mark.nbytes),
    };
    const steps = element("section", {});
    if (mark?.key) showSteps(steps, mark.key, this.startFrom(node));
    return [
      element("h2", {}, node.title),
      element("p", {}, element("span.glidewire-mark", { style: `background: ${colour}` }, words)),
      ...reasons(known).map((line) => element(problems.length ? "p.glidewire-wrong" : "p.glidewire-faint", {}, line)),
      facts ? element("dl.glidewire-facts", {}, Object.entries(facts).flatMap(([name, value]) => (value ? [element("dt", {}, name), element("dd", {}, value)] : []))) : "",
      steps,
      ...(node.outputs ?? []).map((output, index) => this.output(node, known, output, index)),
    ];
  }

  output(node, known, output, index) {
    const body = element("div", {});
    const place = placeOf(this.state, node, index);
    if (place && (known.mark.status === "memory" || known.mark.status === "disk")) showValue(body, place);
    else body.append(element("p.glidewire-faint", {}, "Nothing yet: run the workflow."));
    const shape = known.dims[index] ? dims(known.dims[index]) : "";
    return element("section.glidewire-output", {}, element("h3", {}, output.label ?? output.name, " ", element("small", {}, `${(known.types[index] ?? [output.type]).join(" or ")} ${shape}`)), body);
  }
}
