// The editor's graph as the server knows it: nodes by the id that they have in a run, slots by their place.

/** Every node of a graph and of the subgraphs in it, with its id in a run: "5", inside of subgraphs "7:5". */
export function* nodesWithIds(graph, prefix = "") {
  for (const node of graph?.nodes ?? graph?._nodes ?? []) {
    const id = `${prefix}${node.id}`;
    yield [id, node];
    if (node.subgraph) yield* nodesWithIds(node.subgraph, `${id}:`);
  }
}

/** Whether a node is one of the pack. */
export const isOurs = (node) => /^Glidewire/.test(node?.comfyClass ?? node?.type ?? "");

/** Where a slot is, relative to its node. */
export function slotPlace(node, isInput, index) {
  const place = isInput
    ? (node.getInputPos?.(index) ?? node.getConnectionPos(true, index))
    : (node.getOutputPos?.(index) ?? node.getConnectionPos(false, index));
  return [place[0] - node.pos[0], place[1] - node.pos[1]];
}

const linkOf = (graph, id) => graph?.getLink?.(id) ?? graph?.links?.get?.(id) ?? graph?.links?.[id];

/** The link into an input, or null. */
export function linkInto(node, index) {
  if (node.getInputLink) return node.getInputLink(index);
  const id = node.inputs?.[index]?.link;
  return id == null ? null : linkOf(node.graph, id);
}

/** The slot of a visible node under a point of the canvas: {node, index, isInput}, or null. */
export function slotAt(canvas, [x, y], reach = 12) {
  const nodes = canvas.visible_nodes ?? canvas.graph?._nodes ?? [];
  for (const node of [...nodes].reverse()) {
    if (node.flags?.collapsed || !isOurs(node)) continue;
    for (const isInput of [false, true]) {
      const slots = (isInput ? node.inputs : node.outputs) ?? [];
      for (let index = 0; index < slots.length; index++) {
        const [left, top] = slotPlace(node, isInput, index);
        if (Math.hypot(node.pos[0] + left - x, node.pos[1] + top - y) < reach) return { node, index, isInput };
      }
    }
  }
  return null;
}

/** The place of a pointer event in the coordinates of the graph. */
export function graphPlace(canvas, event) {
  const box = canvas.canvas.getBoundingClientRect();
  const { scale, offset } = canvas.ds;
  return [(event.clientX - box.left) / scale - offset[0], (event.clientY - box.top) / scale - offset[1]];
}

/** The place on the screen of a point of the graph. */
export function screenPlace(canvas, [x, y]) {
  const box = canvas.canvas.getBoundingClientRect();
  const { scale, offset } = canvas.ds;
  return [(x + offset[0]) * scale + box.left, (y + offset[1]) * scale + box.top];
}
