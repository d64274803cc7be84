// The mark above each node: cached or not, what it took or will take; why, on hover.
import { isOurs } from "./graph.js";
import { bytes, seconds } from "./words.js";

// White text reads on each of these, and each stands out from light and dark canvases alike.
const COLOURS = { memory: "#1f7a4d", disk: "#1d6396", run: "#8f5b00", effect: "#8f5b00", unneeded: "#5f6368", problem: "#b3202c" };
const WORDS = { memory: "cached", disk: "on disk", run: "will run", effect: "will run", unneeded: "not needed" };

/** What stands on a node's mark: [colour, text], or null. */
export function markOf({ mark, problems }) {
  const own = problems.filter((problem) => problem.kind !== "no_effect");
  if (own.length) return [COLOURS.problem, own.length > 1 ? `${own.length} problems` : headline(own[0])];
  if (!mark) return null;
  const cost = mark.seconds == null ? "" : seconds(mark.seconds);
  const waits = mark.status === "run" || mark.status === "effect";
  const parts = [WORDS[mark.status], waits && mark.seconds >= 0.001 ? `≈ ${cost}` : cost, waits || mark.nbytes == null ? "" : bytes(mark.nbytes)];
  return [COLOURS[mark.status], parts.filter(Boolean).join(" · ")];
}

function headline(problem) {
  const words = { wrong_dims: "does not fit", wrong_type: "does not fit", missing_input: `${problem.input} is missing`,
    missing_file: "file is missing", cycle: "waits for itself", out_of_range: `${problem.input} is out of range` };
  return words[problem.kind] ?? "problem";
}

/** Why a node is marked so, in lines. */
export function reasons({ mark, problems }) {
  const lines = problems.map((one) => [one.input ? `${one.input}: ${one.message}` : one.message, one.expected && `expected ${one.expected}`, one.got && `got ${one.got}`, one.hint].filter(Boolean).join("\n"));
  if (!mark) return lines.length ? lines : ["not planned: something above it does not fit"];
  const why = mark.why.charAt(0).toUpperCase() + mark.why.slice(1);
  const cost = mark.seconds == null ? "It never ran: no estimate." : mark.guessed ? `Another node of its kind took ${seconds(mark.seconds)}.` : `It took ${seconds(mark.seconds)} last time.`;
  return [...lines, `${why}.`, cost];
}

/** Give a node its mark, empty at first; it is drawn by the editor among the node's badges. */
export function addMark(node) {
  if (!isOurs(node) || node.glidewireMark || !window.LGraphBadge) return;
  const badge = new window.LGraphBadge({ text: "", fgColor: "#ffffff", bgColor: COLOURS.unneeded, fontSize: 11, height: 18 });
  node.glidewireMark = badge;
  node.badges ??= [];
  node.badges.push(badge);
}

/** Write what is known of a node on its mark, or nothing. */
export function writeMark(node, known) {
  const badge = node.glidewireMark;
  if (badge) [badge.bgColor, badge.text] = (known ? markOf(known) : null) ?? [badge.bgColor, ""];
}

/** Whether a point of the graph lies on a node's mark. */
export function onMark(node, [x, y]) {
  const badge = node.glidewireMark;
  if (!badge?.text) return false;
  const [left, top, width, height] = badge.boundingRect ?? badge._boundingRect ?? [0, 0, 0, 0];
  const [dx, dy] = [x - node.pos[0], y - node.pos[1]];
  return dx >= left && dx <= left + width && dy >= top && dy <= top + height;
}
